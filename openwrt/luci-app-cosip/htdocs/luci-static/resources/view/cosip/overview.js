'use strict';
'require view';
'require dom';
'require poll';
'require uci';
'require ui';
'require cosip.drawings as drawings';
'require cosip.status as cosip';

const hours = 6;

/* How long the daemon may take to start or stop before the page says what it sees. */
const settleSeconds = 20;

function ago(seconds) {
	return _('%s ago').format(cosip.duration(seconds));
}

return view.extend({
	handleSave: null,
	handleSaveApply: null,
	handleReset: null,

	/* Everything that the page shows; what cannot be had is null, and what was in the way is kept. */
	load() {
		const lost = error => {
			this.failure = error;

			return null;
		};

		this.failure = null;

		return Promise.all([cosip.status().catch(lost), cosip.config().catch(lost)]).then(
			([status, config]) => {
				if (!status?.running) return [status, config, null, null];

				return Promise.all([
					status,
					config,
					cosip.peers().catch(lost),
					cosip.trace().catch(lost)
				]);
			}
		);
	},

	render(data) {
		this.readonly = !L.hasViewPermission();
		this.parts = {};
		this.shown = {};
		this.open = new Set();

		for (const name of ['service', 'servers', 'phones', 'calls', 'recent', 'refused', 'peers'])
			this.parts[name] = E('div', { class: 'cbi-section', 'data-part': name });

		this.update(data);
		poll.add(() => this.load().then(fresh => this.update(fresh)), 5);

		return E('div', {}, [
			cosip.style(),
			E('h2', {}, [_('CoSIP')]),
			...Object.values(this.parts)
		]);
	},

	update([status, config, peers, trace]) {
		const running = status?.running;

		this.show('service', [status, config, this.pending], () => this.service(status, config));
		this.show('servers', running ? [status.servers, status.mode] : null, () =>
			this.servers(status)
		);
		this.show('phones', running ? status.phones : null, () => this.phones(status.phones));
		this.show('calls', running ? status.calls : null, () => this.calls(status.calls));
		this.show('recent', running ? trace : null, () => this.recent(trace?.trace ?? []));
		this.show('refused', status?.refused?.length ? status.refused : null, () =>
			this.refused(status.refused)
		);
		this.show('peers', running ? [status.overlay, peers] : null, () =>
			this.peers(status, peers?.channels ?? [])
		);
	},

	/* Draws a part anew where its data have changed. The keyboard's place is kept. */
	show(name, data, draw) {
		const part = this.parts[name];
		const fingerprint = JSON.stringify(data ?? null);
		const focused = part.contains(document.activeElement)
			? document.activeElement.getAttribute('data-key')
			: null;

		if (this.shown[name] === fingerprint) return;

		this.shown[name] = fingerprint;
		part.hidden = data == null;
		dom.content(part, data == null ? [] : draw());

		if (focused)
			[...part.querySelectorAll('[data-key]')]
				.find(node => node.getAttribute('data-key') == focused)
				?.focus();
	},

	service(status, config) {
		if (!status)
			return [
				E('p', { class: 'cosip-verdict', 'data-level': 'bad', role: 'status' }, [
					_('CoSIP cannot be asked how it is: %s').format(this.failure?.message ?? '')
				])
			];

		const [level, sentence] = this.pending ?? cosip.verdict(status, config);
		const error = status.config?.error ?? config?.error;
		const wanted = cosip.missing(status, config);
		const adapter = cosip.section(config, 'adapter');
		const on = ['1', 'on', 'true', 'yes', 'enabled'].includes(adapter.enabled);

		return [
			E('label', { class: 'cosip-switch' }, [
				E('input', {
					type: 'checkbox',
					role: 'switch',
					'data-key': 'switch',
					checked: on ? '' : null,
					disabled: this.readonly || this.pending || !config ? '' : null,
					change: ev => this.handleSwitch(ev.target.checked)
				}),
				_('Keep the phones working')
			]),
			E('p', { class: 'cosip-verdict', 'data-level': level, role: 'status' }, [
				E('strong', {}, [sentence]),
				...wanted.flatMap(text => [' ', text])
			]),
			...(error
				? [
						E('p', { class: 'alert-message warning cosip-long', role: 'alert' }, [
							cosip.configError(error)
						])
					]
				: []),
			...(status.interception?.warning
				? [
						E('p', { class: 'alert-message warning cosip-long', role: 'alert' }, [
							status.interception.warning
						])
					]
				: []),
			...(status.running
				? [
						E('p', { class: 'cosip-long', 'data-part': 'interception' }, [
							cosip.interception(status)
						]),
						E('p', {}, [
							_('Mode: %s').format(cosip.mode(status.mode)),
							' · ',
							_('running for %s').format(cosip.duration(status.uptime_s)),
							' · ',
							_('version %s').format(status.version),
							' · ',
							...(status.time_known === false ? [_('time not yet known'), ' · '] : []),
							E(
								'a',
								{
									href: L.url('admin/services/cosip/settings'),
									'data-key': 'settings'
								},
								[_('Settings')]
							)
						])
					]
				: [
						E('p', {}, [
							E(
								'a',
								{
									href: L.url('admin/services/cosip/settings'),
									'data-key': 'settings'
								},
								[_('Settings')]
							)
						])
					])
		];
	},

	servers(status) {
		if (!status.servers.length) return [];

		return [
			E('h3', {}, [_('Servers')]),
			...status.servers.map(server => {
				const [name, colour] = cosip.state(server.state);
				const facts = [
					server.address ?? _('address not known yet'),
					...(server.rtt_ms != null
						? [_('answers within %d ms').format(Math.max(server.rtt_ms, 1))]
						: []),
					...(server.reason ? [cosip.word(server.reason)] : []),
					_('for %s').format(cosip.duration(server.since_s))
				];

				return E('div', { 'data-server': server.domain }, [
					E('p', { class: 'cosip-long' }, [
						E('strong', {}, [server.domain]),
						' ',
						E('span', { style: 'color:%s'.format(colour) }, ['● ', name]),
						' · ',
						facts.join(' · ')
					]),
					drawings.timeline(server, status.uptime_s, hours),
					E('small', {}, [_('the last %d hours').format(hours)])
				]);
			}),
			E(
				'button',
				{
					class: 'btn cbi-button',
					'data-key': 'probe',
					disabled: this.readonly ? '' : null,
					click: ui.createHandlerFn(this, 'handleProbe')
				},
				[_('Ask the servers now')]
			)
		];
	},

	phones(phones) {
		return [
			E('h3', {}, [_('Phones')]),
			drawings.table(
				[_('Number'), _('Device'), _('State'), _('Known to other routers')],
				phones.map(phone => [
					phone.aor ?? _('not known'),
					[phone.address, phone.mac].filter(part => part).join(' · '),
					phone.note
						? cosip.word(phone.note)
						: phone.silent
							? _('does not answer')
							: phone.registered
								? _('registered for %s more').format(
										cosip.duration(phone.expires_s)
									)
								: _('not registered now'),
					phone.replicas == null ? _('no') : _('yes')
				]),
				_('No phone has registered through this router yet.')
			)
		];
	},

	calls(calls) {
		return [
			E('h3', {}, [_('Running calls')]),
			drawings.table(
				[_('From'), _('To'), _('State'), _('Path'), _('Since')],
				calls.map(call => [
					call.caller,
					call.callee,
					cosip.word(call.state),
					[cosip.word(call.path), call.reason].filter(part => part).join(' · '),
					cosip.duration(call.age_s)
				]),
				_('Nobody speaks at the moment.')
			)
		];
	},

	recent(calls) {
		return [
			E('h3', {}, [_('Recent calls')]),
			...(calls.length ? [] : [E('p', {}, [_('None since the start.')])]),
			...calls.map(call => this.recentCall(call))
		];
	},

	recentCall(call) {
		const key = 'call %d'.format(call.number);
		const path = call.path
			? cosip.word(call.path)
			: call.running
				? _('being set up')
				: _('not answered');

		return E(
			'details',
			{
				class: 'cosip-call',
				open: this.open.has(key) ? '' : null,
				toggle: ev => (ev.target.open ? this.open.add(key) : this.open.delete(key))
			},
			[
				E('summary', { 'data-key': key }, [
					'%s · %s · %s'.format(call.title, path, ago(call.ago_s))
				]),
				E('div', { class: 'cosip-scroll' }, [drawings.ladder(call)]),
				...(call.omitted ? [E('p', {}, [_('and %d more').format(call.omitted)])] : [])
			]
		);
	},

	refused(callers) {
		return [
			E('h3', {}, [_('Refused lately')]),
			drawings.table(
				[_('From'), _('Router'), _('Reason'), _('How often'), _('Last')],
				callers.map(it => [it.caller, it.adapter, cosip.word(it.why), it.count, ago(it.ago_s)])
			)
		];
	},

	peers(status, channels) {
		const overlay = status.overlay;

		if (status.mode == 'server') return [];

		return [
			E('h3', {}, [_('Other routers')]),
			E('p', { class: 'cosip-long' }, [
				overlay.id == null
					? _('None: this router has no secret of a network.')
					: _('%d known; this one is %s').format(overlay.peers, overlay.id)
			]),
			E('p', { class: 'cosip-long' }, [_('Reached from outside: %s').format(overlay.reason)]),
			drawings.table(
				[_('Router'), _('Address'), _('Round trip'), _('Heard')],
				channels.map(peer => [
					peer.adapter,
					peer.address,
					peer.rtt_ms != null ? _('%d ms').format(peer.rtt_ms) : null,
					ago(peer.heard_s)
				]),
				_('None is in conversation with this one at the moment.')
			)
		];
	},

	handleProbe() {
		return cosip.probe().then(
			reply => {
				const text = reply.asked.length
					? _('Asked: %s').format(reply.asked.join(', '))
					: _(
							'Nobody could be asked: a question needs a registered phone, and 5 seconds since the last one.'
						);

				ui.addNotification(null, E('p', {}, [text]), 'info');
			},
			error => ui.addNotification(null, E('p', {}, [error.message]), 'danger')
		);
	},

	/* Turns the service on or off, and tells how that goes on until the daemon shows it. */
	handleSwitch(on) {
		this.pending = ['off', on ? _('CoSIP starts …') : _('CoSIP stops …')];

		const until = Date.now() + settleSeconds * 1000;
		const settled = () =>
			this.load().then(data => {
				const failed = on && data[0]?.config?.error;

				if (data[0]?.running == on || failed || Date.now() > until) this.pending = null;

				this.update(data);

				if (this.pending)
					return new Promise(resolve => window.setTimeout(resolve, 1000)).then(settled);
			});

		uci.unload('cosip');

		return Promise.all([uci.load('cosip'), uci.changes()])
			.then(([, changes]) => {
				if (Object.keys(changes ?? {}).length)
					throw new Error(
						_(
							'there are changes that are saved and not applied: apply or revert them first'
						)
					);

				const adapter =
					uci.sections('cosip', 'adapter')[0]?.['.name'] ??
					uci.add('cosip', 'adapter', 'adapter');

				uci.set('cosip', adapter, 'enabled', on ? '1' : '0');

				return uci.save();
			})
			.then(() => uci.apply())
			.then(settled)
			.catch(error => {
				this.pending = null;
				ui.addNotification(
					null,
					E('p', {}, [
						_('This could not be changed: %s').format(error?.message ?? error)
					]),
					'danger'
				);

				return this.load().then(data => this.update(data));
			});
	}
});
