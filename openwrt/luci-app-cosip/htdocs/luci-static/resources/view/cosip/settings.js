'use strict';
'require view';
'require form';
'require uci';
'require ui';
'require poll';
'require dom';
'require cosip.kinds as kinds';
'require cosip.names as names';
'require cosip.schema as schema';
'require cosip.status as cosip';

const secret = /^(password|hex)$/;

/* Secrets that the daemon takes at a time, and their digits. */
const [secretsMax, secretDigits] = [4, 64];

/* A secret is written and never shown: the field stays empty, and empty it changes nothing. Where a
 * password takes the place of hashes, they must go, because the daemon prefers them. */
function keepSecret(option) {
	const data = option.map.data;

	option.password = option.option == 'password';
	option.cfgvalue = section_id => {
		option.placeholder = data.get('cosip', section_id, option.option)
			? _('stored, not shown')
			: null;

		return null;
	};
	option.write = (section_id, value) => {
		if (option.option == 'password')
			['ha1', 'ha1_sha256'].forEach(hash => data.unset('cosip', section_id, hash));

		data.set('cosip', section_id, option.option, value);
	};
	option.remove = () => {};
}

function addOption(section, row) {
	const required = names.isRequired(row);
	const widget =
		row.type == 'flag'
			? form.Flag
			: row.type == 'choice'
				? form.ListValue
				: row.list
					? form.DynamicList
					: form.Value;
	const option = section.taboption(
		names.isForExperts(row) ? 'expert' : 'basic',
		widget,
		row.option,
		names.title(row),
		names.help(row)
	);

	if (row.type == 'flag') {
		option['default'] = row['default'];
		option.rmempty = row.option != 'enabled';
	} else if (row.type == 'choice') {
		option['default'] = row['default'];
		row.values.forEach(value => option.value(value, cosip.mode(value)));
	} else {
		option.placeholder = row.list ? row['default'].join(' ') : row['default'];
		option.rmempty = !required;
		option.validate = (section_id, value) => {
			if (value == null || value === '')
				return required ? _('This must be filled in.') : true;

			return kinds.takes(row, value) || _('Allowed: %s').format(kinds.allowed(row));
		};
	}

	if (secret.test(row.type)) keepSecret(option);
}

/* The settings as the plugin shows them to those who may not read the file. */
function shownData(config) {
	const data = {};

	for (const section of config?.sections ?? []) {
		const stored = section.stored.map(option => [option, '*']);

		(data[section.type] ??= []).push(
			Object.assign({}, section.options, Object.fromEntries(stored))
		);
	}

	return data;
}

return view.extend({
	load() {
		this.readonly = !L.hasViewPermission();

		const settings = this.readonly ? cosip.config() : uci.load('cosip');

		return Promise.all([this.ask(), settings.catch(error => ({ failure: error }))]);
	},

	/* What the daemon says, and what the program says of the file: it may be newer. */
	ask() {
		return Promise.all([
			L.resolveDefault(cosip.status(), null),
			L.resolveDefault(cosip.config(), null)
		]);
	},

	render([answers, settings]) {
		const readonly = this.readonly;
		const banner = E('div', { 'data-part': 'banner', 'aria-live': 'polite' });

		if (settings?.failure || readonly)
			this.handleSave = this.handleSaveApply = this.handleReset = null;

		if (settings?.failure)
			return E('div', {}, [
				E('h2', {}, [_('CoSIP')]),
				E('p', { class: 'alert-message warning', role: 'alert' }, [
					_('The settings cannot be read: %s').format(
						settings.failure.message ?? settings.failure
					)
				])
			]);

		const map = readonly
			? new form.JSONMap(shownData(settings), _('CoSIP'))
			: new form.Map('cosip', _('CoSIP'));

		map.tabbed = true;
		map.readonly = readonly;

		for (const type of names.sections) this.addSection(map, type);

		this.tell(banner, answers);
		poll.add(() => this.ask().then(fresh => this.tell(banner, fresh)), 5);

		return map
			.render()
			.then(node =>
				E('div', {}, [cosip.style(), banner, node, readonly ? '' : this.secretPart()])
			);
	},

	addSection(map, type) {
		const rows = schema.options.filter(row => row.section == type);
		const repeatable = rows[0].repeatable;

		/* What the file does not have yet is there to be filled in. */
		if (!this.readonly && !repeatable && !uci.sections('cosip', type).length)
			uci.add('cosip', type, type);

		const section = map.section(
			form.TypedSection,
			type,
			names.section(type),
			names.about(type)
		);

		section.anonymous = true;
		section.addremove = repeatable && !this.readonly;
		section.addbtntitle = type == 'provider' ? _('Add a provider') : _('Add an account');
		section.tab('basic', _('Basics'));

		if (rows.some(names.isForExperts)) section.tab('expert', _('For experts'));

		rows.forEach(row => addOption(section, row));
	},

	/* What the daemon says of the settings: it may have refused them, or wait for a restart. */
	tell(banner, [status, config]) {
		const error = status?.config?.error ?? config?.error;
		const pending = status?.config?.restart_pending ?? [];
		const waiting = [
			...(pending.length
				? [
						_('These changes wait for a restart: %s').format(
							pending.map(names.full).join(' · ')
						)
					]
				: []),
			...(cosip.lacksSecret(status) && config?.secret?.stored
				? [_('Restart CoSIP: it started without the secret of the network.')]
				: [])
		];
		const fingerprint = JSON.stringify([error, waiting, status == null]);

		if (this.told === fingerprint) return;

		this.told = fingerprint;
		dom.content(banner, [
			...(status
				? []
				: [
						E('p', { class: 'alert-message warning' }, [
							_('CoSIP cannot be asked how it is.')
						])
					]),
			...(error
				? [
						E('div', { class: 'alert-message warning cosip-long', role: 'alert' }, [
							E('p', {}, [cosip.configError(error)]),
							E('p', {}, [
								status.running
									? _('CoSIP goes on with the settings that it had before.')
									: _('CoSIP does not start with these settings.')
							])
						])
					]
				: []),
			...(waiting.length
				? [
						E('div', { class: 'alert-message notice', role: 'status' }, [
							...waiting.map(text => E('p', {}, [text])),
							E(
								'button',
								{
									class: 'btn cbi-button cbi-button-action',
									disabled: this.readonly ? '' : null,
									click: ui.createHandlerFn(this, 'handleRestart')
								},
								[_('Restart now: running calls end')]
							)
						])
					]
				: [])
		]);
	},

	secretPart() {
		const field = E('textarea', {
			class: 'cbi-input-textarea',
			id: 'cosip-secret',
			autocomplete: 'off',
			autocapitalize: 'off',
			spellcheck: 'false',
			rows: secretsMax,
			maxlength: secretsMax * (secretDigits + 1),
			'data-key': 'secret'
		});

		return E('div', { class: 'cbi-section', 'data-part': 'secret' }, [
			E('h3', {}, [_('Secret of the network')]),
			E('p', {}, [
				_(
					'All routers that are to call each other share it. It is stored on this router and never shown again.'
				)
			]),
			E('p', {}, [
				_(
					'What is stored replaces all secrets of before. The first one is sent under, all are heard: two lines, the new and the old one, let the routers change one after the other.'
				)
			]),
			E('p', {}, [
				E('label', { for: 'cosip-secret' }, [
					_('64 hexadecimal digits a line, at most %d lines').format(secretsMax)
				])
			]),
			E('p', {}, [field]),
			E('p', {}, [
				...[
					[_('Store'), 'handleSecret', field],
					[_('Make a new one …'), 'handleNewSecret']
				].flatMap(([title, handler, ...args]) => [
					E(
						'button',
						{
							class: 'btn cbi-button',
							click: ui.createHandlerFn(this, handler, ...args)
						},
						[title]
					),
					' '
				])
			])
		]);
	},

	complain(error) {
		ui.addNotification(null, E('p', {}, [error.message]), 'danger');
	},

	handleRestart() {
		return cosip.restart().catch(this.complain);
	},

	/* Has the daemon take what was stored, and says whether it has: without a secret at its start
	 * it runs no overlay that could. */
	async takeSecret() {
		await cosip.reload();

		const status = await cosip.status();

		if (!status.running) return _('Stored. It is used from the next start on.');

		return cosip.lacksSecret(status)
			? _('Stored. It is used after a restart, because CoSIP started without a secret.')
			: _('Stored, and in use.');
	},

	handleSecret(field) {
		return cosip
			.setSecret(field.value.trim())
			.then(() => {
				field.value = '';

				return this.takeSecret();
			})
			.then(text => ui.addNotification(null, E('p', {}, [text]), 'info'))
			.catch(this.complain);
	},

	handleNewSecret() {
		const close = E('button', { class: 'btn', click: ui.hideModal }, [_('Cancel')]);
		const show = (made, taken) =>
			ui.showModal(_('The new secret'), [
				E('p', {}, [
					_('Store it on every other router of the network now: it is not shown again.')
				]),
				E('p', {}, [E('code', { class: 'cosip-long', tabindex: 0 }, [made])]),
				E('p', {}, [taken]),
				E('div', { class: 'right' }, [
					E('button', { class: 'btn', click: ui.hideModal }, [_('Close')])
				])
			]);
		const make = () =>
			cosip.newSecret().then(
				/* Told once: whatever becomes of the reload, it is shown. */
				reply =>
					this.takeSecret()
						.catch(error => error.message)
						.then(taken => show(reply.secret, taken)),
				error => {
					ui.hideModal();
					this.complain(error);
				}
			);

		ui.showModal(_('A new secret'), [
			E('p', {}, [
				_(
					'A new secret replaces the one on this router. Until the other routers have it too, they do not hear this one.'
				)
			]),
			E('div', { class: 'right' }, [
				close,
				' ',
				E(
					'button',
					{ class: 'btn cbi-button-positive', click: ui.createHandlerFn(this, make) },
					[_('Make a new secret')]
				)
			])
		]);
	}
});
