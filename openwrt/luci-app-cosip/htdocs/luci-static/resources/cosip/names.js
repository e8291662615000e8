'use strict';
'require baseclass';

/* Names of sections and options for people. What an option means, takes and defaults to stands in
 * the generated schema. */

const sections = {
	adapter: _('This router'),
	provider: _('Providers'),
	overlay: _('Other routers'),
	identity: _('Identity'),
	media: _('Speech'),
	account: _('Accounts'),
	emergency: _('Emergency calls')
};

const about = {
	provider: _('One entry for each domain whose phones are to keep working.'),
	overlay: _('The network of routers that call each other directly while a server is silent.'),
	account: _(
		'Phones that this router lets in without a server, and numbers that it registers by itself.'
	)
};

const titles = {
	'adapter.enabled': _('Keep the phones working'),
	'adapter.mode': _('Mode'),
	'adapter.lan': _('LAN'),
	'adapter.wan': _('WAN'),
	'adapter.public_address': _('Public address'),
	'adapter.port_mapping': _('Ask for open ports'),
	'adapter.sip_port': _('SIP port on the LAN'),
	'adapter.wan_sip_port': _('SIP port on the WAN'),
	'adapter.intercept': _('Take phones as they are'),
	'adapter.intercept_port': _('Ports of SIP servers'),
	'adapter.max_phones': _('Phones at most'),
	'adapter.max_calls': _('Calls at most'),
	'adapter.phone_expires_s': _('Registration of phones'),
	'adapter.survive_days': _('Days to survive'),
	'adapter.log_level': _('Log'),
	'provider.domain': _('Domain'),
	'provider.alias_domain': _('Other names'),
	'provider.server': _('Server'),
	'provider.fallback_server': _('Fallback servers'),
	'provider.server_net': _('Further addresses'),
	'provider.overlay': _('Known to other routers'),
	'provider.hedge_ms': _('Patience'),
	'provider.hedge_trying_ms': _('Patience after 100 Trying'),
	'provider.prefer': _('Prefer'),
	'provider.probe_s': _('Probe after'),
	'provider.keepalive_s': _('Keep-alive every'),
	'provider.recover_after': _('Answers to recover'),
	'provider.recover_grace_s': _('Grace after an outage'),
	'provider.failover_code': _('Answers to replace'),
	'provider.country_code': _('Country code'),
	'provider.area_code': _('Area code'),
	'provider.international_prefix': _('International prefix'),
	'provider.trunk_prefix': _('Trunk prefix'),
	'provider.server_only': _('For the server alone'),
	'overlay.port': _('Port'),
	'overlay.name': _('Name of the network'),
	'overlay.secret_file': _('File of the secret'),
	'overlay.bootstrap': _('Bootstrap'),
	'overlay.table_kb': _('Memory for routers'),
	'overlay.store_entries': _('Records for others'),
	'identity.key': _('File of the key'),
	'identity.certificate': _('File of the certificates'),
	'identity.trust_anchor': _('Trust anchors'),
	'identity.accept': _('Calls taken from'),
	'identity.caller_calls_per_hour': _('Calls of a caller per hour'),
	'identity.caller_texts_per_hour': _('Texts of a caller per hour'),
	'identity.adapter_calls_per_hour': _('Calls of a router per hour'),
	'identity.adapter_texts_per_hour': _('Texts of a router per hour'),
	'identity.block': _('Blocked'),
	'media.path': _('Who moves speech'),
	'media.port_min': _('First port'),
	'media.port_max': _('Last port'),
	'media.timeout_s': _('Dead after'),
	'account.aor': _('Address'),
	'account.user': _('User name'),
	'account.realm': _('Realm'),
	'account.password': _('Password'),
	'account.ha1': _('MD5 hash'),
	'account.ha1_sha256': _('SHA-256 hash'),
	'account.alias': _('Further addresses'),
	'emergency.number': _('Numbers'),
	'emergency.route': _('Routes'),
	'emergency.try_ms': _('Patience')
};

/* What most people never touch lies on a tab of its own. */
const expert = [
	'adapter.public_address',
	'adapter.port_mapping',
	'adapter.sip_port',
	'adapter.wan_sip_port',
	'adapter.intercept_port',
	'adapter.max_phones',
	'adapter.max_calls',
	'adapter.phone_expires_s',
	'adapter.survive_days',
	'adapter.log_level',
	'provider.server_net',
	'provider.hedge_ms',
	'provider.hedge_trying_ms',
	'provider.prefer',
	'provider.probe_s',
	'provider.keepalive_s',
	'provider.recover_after',
	'provider.recover_grace_s',
	'provider.failover_code',
	'provider.international_prefix',
	'provider.trunk_prefix',
	'provider.server_only',
	'overlay.port',
	'overlay.secret_file',
	'overlay.table_kb',
	'overlay.store_entries',
	'identity.caller_calls_per_hour',
	'identity.caller_texts_per_hour',
	'identity.adapter_calls_per_hour',
	'identity.adapter_texts_per_hour'
];

/* What must be there is asked for beside the field; the daemon asks for it too. */
const required = ['provider.domain', 'account.aor'];

function nameOf(row) {
	return '%s.%s'.format(row.section, row.option);
}

function full(name) {
	return '%s: %s'.format(sections[name.split('.')[0]], titles[name] ?? name);
}

function help(row) {
	const preset = row.list ? row['default'].join(', ') : row['default'];
	const parts = [row.help];

	if (preset != '' && row.type != 'flag') parts.push(_('Default: %s.').format(preset));

	if (row.applies == 'restart') parts.push(_('A change needs a restart.'));

	return parts.join(' ');
}

return baseclass.extend({
	sections: Object.keys(sections),
	section: type => sections[type],
	about: type => about[type],
	title: row => titles[nameOf(row)] ?? nameOf(row),
	isForExperts: row => expert.includes(nameOf(row)),
	isRequired: row => required.includes(nameOf(row)),
	full: full,
	help: help
});
