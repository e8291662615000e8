'use strict';
'require baseclass';
'require rpc';

/* What the pages and the card share: calls of the plugin, and what its answers mean in words. */

const call = (method, params) =>
	rpc.declare({
		object: 'luci.cosip',
		method: method,
		params: params ?? [],
		expect: { '': {} },
		reject: true
	});

const callStatus = call('status');
const callConfig = call('config');
const callPeers = call('peers');
const callTrace = call('trace');
const callProbe = call('probe');
const callReload = call('reload');
const callRestart = call('restart');
const callSetSecret = call('set_secret', ['secret']);
const callNewSecret = call('new_secret');

/* An answer that tells an error is a failure like no answer at all. */
function ask(answer) {
	return answer.then(reply => {
		if (typeof reply?.error == 'string') throw new Error(reply.error);

		return reply;
	});
}

/* Words of the daemon that are shown as they are, or translated where a catalogue has them. */
const words = () => ({
	'not asked yet': _('not asked yet'),
	'no answer': _('no answer'),
	'no answer to two requests': _('no answer to two requests'),
	'no answer for 2 s': _('no answer for 2 s'),
	'transport error': _('transport error'),
	'transport errors on all targets': _('transport errors on all targets'),
	answers: _('answers'),
	'answers again': _('answers again'),
	'our own link is down: nothing is known of the server': _(
		'our own link is down: nothing is known of the server'
	),
	'not protected: TLS': _('not protected: TLS'),
	'option intercept is 0': _('option intercept is 0'),
	server: _('through the server'),
	overlay: _('directly, router to router'),
	answered: _('answered'),
	'setting up': _('setting up'),
	'not certified': _('not certified'),
	blocked: _('blocked'),
	'too often': _('too often'),
	phone: _('phone'),
	adapter: _('this router'),
	peer: _('other router')
});

/* What a server's state is called, its colour, and how tall it stands on the timeline. */
const states = () => ({
	up: [_('answers'), '#2f7d32', 0.5],
	suspect: [_('in doubt'), '#b36b00', 0.75],
	down: [_('silent'), '#b3261e', 1],
	unknown: [_('not known'), '#8a8a8a', 0.25]
});

function stateOf(name) {
	return states()[name] ?? states().unknown;
}

const modes = () => ({
	cooperative: _('server and other routers'),
	overlay: _('other routers alone'),
	server: _('server alone')
});

function duration(seconds) {
	if (seconds < 60) return _('%d s').format(seconds);

	if (seconds < 3600) return _('%d min').format(seconds / 60);

	if (seconds < 86400) return _('%d h %d min').format(seconds / 3600, (seconds % 3600) / 60);

	return _('%d days').format(seconds / 86400);
}

function configError(error) {
	if (!error.line) return _('The settings cannot be read: %s').format(error.value);

	return _('%s, line %d: “%s” is not allowed here: %s').format(
		error.file,
		error.line,
		error.value,
		error.allowed
	);
}

/* What stands in the section of this type, or nothing. */
function section(config, type) {
	return config?.sections?.find(s => s.type == type)?.options ?? {};
}

/* Whether the program runs without the other routers because it had no secret at its start. */
function lacksSecret(status) {
	return status?.running && status.mode != 'server' && status.overlay?.id == null;
}

/* What is missing for calls to go on without a server, each as one sentence. */
function missing(status, config) {
	const mode = status.mode ?? section(config, 'adapter').mode ?? 'cooperative';
	const has = type => config?.sections?.some(s => s.type == type);
	const list = [];
	const unaddressed = side =>
		list.push(
			_('Bring up a network that the settings name under “%s”, or name another.').format(side)
		);

	if (status.network?.lan.length === 0) unaddressed(_('LAN'));
	else if (mode != 'overlay' && status.network?.wan.length === 0) unaddressed(_('WAN'));

	if (mode != 'overlay' && config && !has('provider'))
		list.push(_('Add your provider, so that calls can go on while its server is silent.'));

	if (mode == 'overlay' && config && !has('account'))
		list.push(_('Add an account for each phone: without a server this router lets phones in.'));

	if (mode != 'server' && config?.secret?.error)
		list.push(_('The secret of the network cannot be used: %s').format(config.secret.error));
	else if (mode != 'server' && config && !config.secret?.stored)
		list.push(_('Store the secret of the network that your routers share.'));
	else if (lacksSecret(status))
		list.push(_('Restart CoSIP: it started without the secret of the network.'));
	else if (mode != 'server' && status.running && status.overlay?.peers === 0)
		list.push(_('No other router is heard yet: name one of them under “Bootstrap”.'));

	return list;
}

/* Whether phones are served that know their provider alone, and where that is not so, why. */
function interception(status) {
	const { method, reason } = status.interception;

	if (method == 'none')
		return reason
			? _('Phones that know their provider alone are not served: %s').format(
					words()[reason] ?? reason
				)
			: _('Phones that know their provider alone are not served.');

	const sentence = _('Phones that know their provider alone are served too (%s).').format(method);

	return reason ? '%s %s'.format(sentence, words()[reason] ?? reason) : sentence;
}

/* How things stand, in one sentence, and how well: good, warn, bad or off. */
function verdict(status, config) {
	const adapter = section(config, 'adapter');
	const on = ['1', 'on', 'true', 'yes', 'enabled'].includes(adapter.enabled);
	const error = status.config?.error ?? config?.error;

	if (!status.running) {
		if (error) return ['bad', _('CoSIP does not run: its settings have a mistake.')];

		if (!on) return ['off', _('CoSIP is off: phones talk to their provider on their own.')];

		return ['bad', _('CoSIP is on, but does not run: the system log says why.')];
	}

	if (!status.network.lan.length)
		return ['warn', _('CoSIP waits for the LAN: it has no address yet.')];

	if (!status.network.wan.length && status.mode != 'overlay')
		return ['warn', _('CoSIP waits for the Internet: the WAN has no address yet.')];

	const silent = status.servers.filter(s => s.state != 'up');
	const together = status.mode != 'server' && status.overlay.peers > 0;

	if (status.mode == 'overlay')
		return together
			? ['good', _('Calls go from router to router.')]
			: ['warn', _('Calls reach the phones of this router alone.')];

	if (silent.length && together)
		return [
			'warn',
			_('The server of %s is silent; calls go from router to router.').format(
				silent[0].domain
			)
		];

	if (silent.length)
		return [
			'bad',
			_('The server of %s is silent, and no other router can step in.').format(
				silent[0].domain
			)
		];

	if (!status.servers.length)
		return [
			'warn',
			_(
				'Calls pass through this router as before; nothing steps in yet when a server is silent.'
			)
		];

	if (status.servers.every(s => s.rtt_ms == null))
		return ['warn', _('Ready; no phone has reached its server through this router yet.')];

	if (together)
		return ['good', _('All is well: the server answers, and other routers can step in.')];

	return status.mode == 'server'
		? ['good', _('The server answers.')]
		: ['warn', _('The server answers; nobody could step in for it yet.')];
}

return baseclass.extend({
	status: () => ask(callStatus()),
	config: () => ask(callConfig()),
	peers: () => ask(callPeers()),
	trace: () => ask(callTrace()),
	probe: () => ask(callProbe()),
	reload: () => ask(callReload()),
	restart: () => ask(callRestart()),
	setSecret: secret => ask(callSetSecret(secret)),
	newSecret: () => ask(callNewSecret()),
	word: text => words()[text] ?? text,
	state: stateOf,
	mode: name => modes()[name] ?? name,
	configError: configError,
	duration: duration,
	interception: interception,
	lacksSecret: lacksSecret,
	missing: missing,
	section: section,
	verdict: verdict,

	style: () =>
		E('style', {}, [
			'.cosip-verdict{border-left:.4em solid #8a8a8a;padding:.4em .8em;margin:.5em 0}' +
				'.cosip-verdict[data-level=good]{border-color:#2f7d32}' +
				'.cosip-verdict[data-level=warn]{border-color:#b36b00}' +
				'.cosip-verdict[data-level=bad]{border-color:#b3261e}' +
				'.cosip-scroll{overflow-x:auto}' +
				'.cosip-scroll .table{min-width:100%}' +
				'.cosip-scroll .td{overflow-wrap:break-word}' +
				'.cosip-timeline{width:100%;height:18px;display:block}' +
				'.cosip-ladder{max-width:none}' +
				'.cosip-long{overflow-wrap:anywhere}' +
				'.cosip-switch{display:inline-flex;gap:.6em;align-items:center;font-weight:bold}' +
				'.cosip-call summary{cursor:pointer;padding:.3em 0;overflow-wrap:anywhere}'
		])
});
