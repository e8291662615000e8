'use strict';
'require baseclass';

/* Made from `cosip check --schema` by `make texts`; a test compares the two. */

return baseclass.extend({
	options: [
		{
			section: 'adapter', option: 'enabled', repeatable: false,
			type: 'flag', list: false, applies: 'live',
			default: '0',
			help: _('Whether the daemon serves at all.')
		},
		{
			section: 'adapter', option: 'mode', repeatable: false,
			type: 'choice', list: false, applies: 'live',
			values: ['cooperative', 'overlay', 'server'],
			default: 'cooperative',
			help: _('Who carries calls: server and overlay, the overlay alone, or the server alone.')
		},
		{
			section: 'adapter', option: 'lan', repeatable: false,
			type: 'network', list: true, applies: 'live',
			default: ['lan'],
			help: _('Where the phones are: OpenWrt networks, devices or addresses.')
		},
		{
			section: 'adapter', option: 'wan', repeatable: false,
			type: 'network', list: true, applies: 'live',
			default: ['wan'],
			help: _('Where the provider is: OpenWrt networks, devices or addresses.')
		},
		{
			section: 'adapter', option: 'public_address', repeatable: false,
			type: 'address', list: false, applies: 'restart',
			default: '',
			help: _('The address that the outside sees, where it is not the WAN\'s own.')
		},
		{
			section: 'adapter', option: 'port_mapping', repeatable: false,
			type: 'flag', list: false, applies: 'live',
			default: '1',
			help: _('Whether a router in front is asked to open ports: PCP, NAT-PMP, UPnP-IGD.')
		},
		{
			section: 'adapter', option: 'sip_port', repeatable: false,
			type: 'number', list: false, applies: 'restart',
			min: 1, max: 65535,
			default: '5060',
			help: _('SIP port on the LAN side.')
		},
		{
			section: 'adapter', option: 'wan_sip_port', repeatable: false,
			type: 'number', list: false, applies: 'restart',
			min: 0, max: 65535,
			default: '0',
			help: _('SIP port on the WAN side, never 5060; 0: chosen once and kept.')
		},
		{
			section: 'adapter', option: 'intercept', repeatable: false,
			type: 'flag', list: false, applies: 'live',
			default: '1',
			help: _('Whether phones are served that were set up with the provider\'s name or address.')
		},
		{
			section: 'adapter', option: 'intercept_port', repeatable: false,
			type: 'number', list: true, applies: 'live',
			min: 1, max: 65535,
			default: ['5060'],
			help: _('The ports of SIP servers that phones of the LAN are intercepted at.')
		},
		{
			section: 'adapter', option: 'max_phones', repeatable: false,
			type: 'number', list: false, applies: 'restart',
			min: 1, max: 4096,
			default: '32',
			help: _('The number of phones that are served.')
		},
		{
			section: 'adapter', option: 'max_calls', repeatable: false,
			type: 'number', list: false, applies: 'restart',
			min: 1, max: 4096,
			default: '16',
			help: _('The number of calls at a time.')
		},
		{
			section: 'adapter', option: 'phone_expires_s', repeatable: false,
			type: 'number', list: false, applies: 'live',
			min: 30, max: 3600,
			default: '120',
			help: _('The longest registration that a phone is given, in seconds.')
		},
		{
			section: 'adapter', option: 'survive_days', repeatable: false,
			type: 'number', list: false, applies: 'live',
			min: 1, max: 365,
			default: '7',
			help: _('For how many days an accepted phone stays known without its provider.')
		},
		{
			section: 'adapter', option: 'log_level', repeatable: false,
			type: 'choice', list: false, applies: 'live',
			values: ['error', 'warn', 'info', 'debug', 'trace'],
			default: 'info',
			help: _('The least severe message that is logged.')
		},
		{
			section: 'provider', option: 'domain', repeatable: true,
			type: 'host', list: false, applies: 'restart',
			default: '',
			help: _('The domain of the provider\'s addresses; required.')
		},
		{
			section: 'provider', option: 'alias_domain', repeatable: true,
			type: 'host', list: true, applies: 'live',
			default: [],
			help: _('Other names and addresses that mean the same domain.')
		},
		{
			section: 'provider', option: 'server', repeatable: true,
			type: 'server', list: false, applies: 'restart',
			default: '',
			help: _('The SIP server; empty: found by the domain\'s DNS records (RFC 3263).')
		},
		{
			section: 'provider', option: 'fallback_server', repeatable: true,
			type: 'server', list: true, applies: 'restart',
			default: [],
			help: _('Servers that are used where the first one fails, in this order.')
		},
		{
			section: 'provider', option: 'server_net', repeatable: true,
			type: 'net', list: true, applies: 'live',
			default: [],
			help: _('Further addresses that the provider\'s requests come from.')
		},
		{
			section: 'provider', option: 'overlay', repeatable: true,
			type: 'flag', list: false, applies: 'live',
			default: '1',
			help: _('Whether this provider\'s numbers are put into the overlay.')
		},
		{
			section: 'provider', option: 'hedge_ms', repeatable: true,
			type: 'number', list: false, applies: 'live',
			min: 50, max: 10000,
			default: '500',
			help: _('Silence of the server after which the overlay is called, in milliseconds.')
		},
		{
			section: 'provider', option: 'hedge_trying_ms', repeatable: true,
			type: 'number', list: false, applies: 'live',
			min: 100, max: 30000,
			default: '4000',
			help: _('The same after a 100 Trying alone, in milliseconds.')
		},
		{
			section: 'provider', option: 'prefer', repeatable: true,
			type: 'choice', list: false, applies: 'live',
			values: ['server', 'fastest'],
			default: 'server',
			help: _('Whether the overlay helps out only, or calls at once as well.')
		},
		{
			section: 'provider', option: 'probe_s', repeatable: true,
			type: 'number', list: false, applies: 'live',
			min: 5, max: 3600,
			default: '60',
			help: _('Time without a sign of life after which the server is probed, in seconds.')
		},
		{
			section: 'provider', option: 'keepalive_s', repeatable: true,
			type: 'number', list: false, applies: 'live',
			min: 5, max: 3600,
			default: '20',
			help: _('Interval of keep-alives towards the server, in seconds.')
		},
		{
			section: 'provider', option: 'recover_after', repeatable: true,
			type: 'number', list: false, applies: 'live',
			min: 1, max: 20,
			default: '3',
			help: _('Answers in a row after which a server that was down is up.')
		},
		{
			section: 'provider', option: 'recover_grace_s', repeatable: true,
			type: 'number', list: false, applies: 'live',
			min: 0, max: 86400,
			default: '3600',
			help: _('For how long after an outage a \'not found\' is not believed, in seconds.')
		},
		{
			section: 'provider', option: 'failover_code', repeatable: true,
			type: 'number', list: true, applies: 'live',
			min: 400, max: 599,
			default: ['408', '500', '502', '503', '504'],
			help: _('Answers of the server that the overlay may replace.')
		},
		{
			section: 'provider', option: 'country_code', repeatable: true,
			type: 'digits', list: false, applies: 'live',
			default: '',
			help: _('E.164 country code; empty: numbers are compared as they are written.')
		},
		{
			section: 'provider', option: 'area_code', repeatable: true,
			type: 'digits', list: false, applies: 'live',
			default: '',
			help: _('Area code without trunk prefix; empty: none.')
		},
		{
			section: 'provider', option: 'international_prefix', repeatable: true,
			type: 'digits', list: false, applies: 'live',
			default: '00',
			help: _('What is dialled before a country code.')
		},
		{
			section: 'provider', option: 'trunk_prefix', repeatable: true,
			type: 'digits', list: false, applies: 'live',
			default: '0',
			help: _('What is dialled before an area code; empty: nothing.')
		},
		{
			section: 'provider', option: 'server_only', repeatable: true,
			type: 'dialled', list: true, applies: 'live',
			default: ['*', '#'],
			help: _('Beginnings of numbers that only the server understands.')
		},
		{
			section: 'overlay', option: 'port', repeatable: false,
			type: 'number', list: false, applies: 'restart',
			min: 1, max: 65535,
			default: '5070',
			help: _('UDP port of the overlay.')
		},
		{
			section: 'overlay', option: 'name', repeatable: false,
			type: 'text', list: false, applies: 'restart',
			default: '',
			help: _('Name of the network, equal on all its routers; empty: the first provider\'s domain.')
		},
		{
			section: 'overlay', option: 'secret_file', repeatable: false,
			type: 'file', list: false, applies: 'restart',
			default: 'network.key',
			help: _('File of the network\'s secrets: 64 hex digits a line; the first sends, all are heard.')
		},
		{
			section: 'overlay', option: 'bootstrap', repeatable: false,
			type: 'hostport', list: true, applies: 'live',
			default: [],
			help: _('Adapters to join the overlay through.')
		},
		{
			section: 'overlay', option: 'table_kb', repeatable: false,
			type: 'number', list: false, applies: 'restart',
			min: 16, max: 4096,
			default: '256',
			help: _('Memory for the table of adapters, in kB.')
		},
		{
			section: 'overlay', option: 'store_entries', repeatable: false,
			type: 'number', list: false, applies: 'restart',
			min: 16, max: 65536,
			default: '512',
			help: _('The number of records kept for other adapters.')
		},
		{
			section: 'identity', option: 'key', repeatable: false,
			type: 'file', list: false, applies: 'restart',
			default: 'adapter.key',
			help: _('File of the adapter\'s own key; made at the first start.')
		},
		{
			section: 'identity', option: 'certificate', repeatable: false,
			type: 'file', list: false, applies: 'restart',
			default: 'adapter.crt',
			help: _('File of the adapter\'s certificates, one a line in hex; used with a trust_anchor.')
		},
		{
			section: 'identity', option: 'trust_anchor', repeatable: false,
			type: 'publickey', list: true, applies: 'live',
			default: [],
			help: _('Public keys of those who vouch for others; without one nobody needs a certificate.')
		},
		{
			section: 'identity', option: 'accept', repeatable: false,
			type: 'choice', list: false, applies: 'live',
			values: ['verified', 'network', 'nobody'],
			default: 'network',
			help: _('Whose calls to take: of all members or the verified (default with a trust_anchor).')
		},
		{
			section: 'identity', option: 'caller_calls_per_hour', repeatable: false,
			type: 'number', list: false, applies: 'live',
			min: 0, max: 1000000,
			default: '60',
			help: _('Calls over the overlay that a certified caller may make to phones here; 0: no limit.')
		},
		{
			section: 'identity', option: 'caller_texts_per_hour', repeatable: false,
			type: 'number', list: false, applies: 'live',
			min: 0, max: 1000000,
			default: '600',
			help: _('Texts over the overlay that a certified caller may send to phones here; 0: no limit.')
		},
		{
			section: 'identity', option: 'adapter_calls_per_hour', repeatable: false,
			type: 'number', list: false, applies: 'live',
			min: 0, max: 1000000,
			default: '300',
			help: _('Calls over the overlay to phones here of all callers behind one router; 0: no limit.')
		},
		{
			section: 'identity', option: 'adapter_texts_per_hour', repeatable: false,
			type: 'number', list: false, applies: 'live',
			min: 0, max: 1000000,
			default: '3000',
			help: _('Texts over the overlay to phones here of all callers behind one router; 0: no limit.')
		},
		{
			section: 'identity', option: 'block', repeatable: false,
			type: 'blocked', list: true, applies: 'live',
			default: [],
			help: _('Whose calls and texts over the overlay are refused: addresses, domains or routers.')
		},
		{
			section: 'media', option: 'path', repeatable: false,
			type: 'choice', list: false, applies: 'restart',
			values: ['auto', 'user', 'off'],
			default: 'auto',
			help: _('Who moves speech: auto or user, this program; off, nobody.')
		},
		{
			section: 'media', option: 'port_min', repeatable: false,
			type: 'number', list: false, applies: 'restart',
			min: 1024, max: 65534,
			default: '30000',
			help: _('First port of the relay.')
		},
		{
			section: 'media', option: 'port_max', repeatable: false,
			type: 'number', list: false, applies: 'restart',
			min: 1025, max: 65535,
			default: '30199',
			help: _('Last port of the relay; 6 ports for each of max_calls are enough.')
		},
		{
			section: 'media', option: 'timeout_s', repeatable: false,
			type: 'number', list: false, applies: 'live',
			min: 10, max: 86400,
			default: '300',
			help: _('Silence after which speech that should flow is called dead, in seconds.')
		},
		{
			section: 'account', option: 'aor', repeatable: true,
			type: 'aor', list: false, applies: 'live',
			default: '',
			help: _('The address that the account is for; required.')
		},
		{
			section: 'account', option: 'user', repeatable: true,
			type: 'text', list: false, applies: 'live',
			default: '',
			help: _('Name that the phone authenticates with; empty: the address\'s user part.')
		},
		{
			section: 'account', option: 'realm', repeatable: true,
			type: 'text', list: false, applies: 'live',
			default: '',
			help: _('Realm of the challenge; empty: the address\'s domain.')
		},
		{
			section: 'account', option: 'password', repeatable: true,
			type: 'password', list: false, applies: 'live',
			default: '',
			help: _('The password; or one or both of the hashes instead.')
		},
		{
			section: 'account', option: 'ha1', repeatable: true,
			type: 'hex', list: false, applies: 'live',
			digits: 32,
			default: '',
			help: _('MD5 of user:realm:password.')
		},
		{
			section: 'account', option: 'ha1_sha256', repeatable: true,
			type: 'hex', list: false, applies: 'live',
			digits: 64,
			default: '',
			help: _('SHA-256 of user:realm:password.')
		},
		{
			section: 'account', option: 'alias', repeatable: true,
			type: 'aor', list: true, applies: 'live',
			default: [],
			help: _('Further addresses of the same account.')
		},
		{
			section: 'emergency', option: 'number', repeatable: false,
			type: 'dialled', list: true, applies: 'live',
			default: ['112', '110', '911'],
			help: _('Emergency numbers: the server and the routes are asked for them, never the overlay.')
		},
		{
			section: 'emergency', option: 'route', repeatable: false,
			type: 'route', list: true, applies: 'live',
			default: [],
			help: _('Where emergency calls go when the server does not take them, one after another.')
		},
		{
			section: 'emergency', option: 'try_ms', repeatable: false,
			type: 'number', list: false, applies: 'live',
			min: 100, max: 10000,
			default: '1500',
			help: _('Silence of one way after which an emergency call takes the next, in milliseconds.')
		}
	]
});
