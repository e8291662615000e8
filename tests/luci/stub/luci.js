/* A small stand-in for LuCI in the browser: as much of its interface as our pages use, written from
 * its documentation. Where LuCI is dangerous this is too: a bare text as the child of E() is HTML. */

'use strict';

window.TR ??= {};
window._ = text => window.TR[text] ?? text;

String.prototype.format = function (...values) {
	return this.replace(/%([sd%])/g, (_match, kind) =>
		kind == '%'
			? '%'
			: kind == 'd'
				? String(Math.trunc(values.shift()))
				: String(values.shift())
	);
};

const dom = {
	append(node, children) {
		if (Array.isArray(children))
			for (const child of children)
				node.append(child instanceof Node ? child : document.createTextNode(String(child)));
		else if (children instanceof Node) node.append(children);
		else if (children != null) node.innerHTML = String(children);

		return node;
	},

	content(node, children) {
		node.replaceChildren();

		return dom.append(node, children);
	}
};

window.E = (tag, attributes, children) => {
	const node = document.createElement(tag);

	for (const [name, value] of Object.entries(attributes ?? {}))
		if (typeof value == 'function') node.addEventListener(name, value);
		else if (value != null) node.setAttribute(name, value);

	return dom.append(node, children);
};

/* Classes as LuCI has them: extended by an object of members, made with `new`. */
function extensible(base) {
	base.extend = function (members) {
		const extended = class extends this {};

		Object.defineProperties(extended.prototype, Object.getOwnPropertyDescriptors(members));
		extended.extend = base.extend;

		return extended;
	};

	return base;
}

const baseclass = extensible(class {});

const view = extensible(
	class {
		handleSave() {
			return Promise.all(form.maps.map(map => map.save()));
		}

		handleSaveApply() {
			return this.handleSave().then(() => uci.apply());
		}

		handleReset() {
			return Promise.all(form.maps.map(map => map.reset()));
		}

		/* Loads and renders it, with the buttons below. */
		appear(place) {
			return Promise.resolve(this.load?.())
				.then(data => this.render(data))
				.then(node => {
					const button = (handler, title) =>
						this[handler]
							? [
									E(
										'button',
										{
											class: `cbi-button ${handler}`,
											click: ui.createHandlerFn(this, handler)
										},
										[title]
									)
								]
							: [];

					dom.content(place, [
						node,
						E('div', { class: 'cbi-page-actions' }, [
							...button('handleSaveApply', 'Save & Apply'),
							...button('handleSave', 'Save'),
							...button('handleReset', 'Reset')
						])
					]);
				});
		}
	}
);

const rpc = {
	count: 0,

	declare({ object, method, params, expect, reject }) {
		return (...values) => {
			const named = Object.fromEntries(
				(params ?? [])
					.map((name, at) => [name, values[at]])
					.filter(([, value]) => value !== undefined)
			);
			const body = {
				jsonrpc: '2.0',
				id: ++rpc.count,
				method: 'call',
				params: [L.env.sessionid, object, method, named]
			};

			return fetch(L.env.ubuspath, { method: 'POST', body: JSON.stringify(body) })
				.then(answer => answer.json())
				.then(answer => {
					const [code, reply] = answer.result ?? [answer.error?.code ?? -1];
					const [[key, fallback]] = Object.entries(expect ?? { '': undefined });

					if (code != 0 && reject)
						throw new Error(`RPC call to ${object}/${method} failed with code ${code}`);

					const picked = key == '' ? reply : reply?.[key];

					return code == 0 && picked !== undefined ? picked : fallback;
				});
		};
	}
};

const poll = {
	add(task, seconds) {
		const again = () =>
			window.setTimeout(() => task().finally(again), (seconds * 1000) / (L.env.hurry ?? 1));

		again();
	}
};

const callUci = (method, params, expect) =>
	rpc.declare({ object: 'uci', method, params, expect, reject: true });

const uci = {
	loaded: {},
	wishes: [],
	added: 0,
	callGet: callUci('get', ['config'], { values: {} }),
	callSet: callUci('set', ['config', 'section', 'values']),
	callUnset: callUci('delete', ['config', 'section', 'options']),
	callAdd: callUci('add', ['config', 'type', 'name'], { section: '' }),
	callApply: callUci('apply', ['timeout', 'rollback']),
	callConfirm: callUci('confirm', []),
	changes: callUci('changes', [], { changes: {} }),

	load(config) {
		if (uci.loaded[config]) return Promise.resolve(config);

		return uci.callGet(config).then(values => {
			uci.loaded[config] = values;

			return config;
		});
	},

	unload(config) {
		delete uci.loaded[config];
		uci.wishes = [];
	},

	sections(config, type) {
		const all = Object.values(uci.loaded[config] ?? {}).sort(
			(a, b) => a['.index'] - b['.index']
		);

		return all.filter(section => type == null || section['.type'] == type);
	},

	get(config, section, option) {
		const found = uci.loaded[config]?.[section];

		return option == null ? found : found?.[option];
	},

	set(config, section, option, value) {
		uci.loaded[config][section][option] = value;
		uci.wishes.push(() =>
			uci.callSet(config, uci.loaded[config][section]['.saved'] ?? section, {
				[option]: value
			})
		);
	},

	unset(config, section, option) {
		if (uci.loaded[config][section]?.[option] == null) return;

		delete uci.loaded[config][section][option];
		uci.wishes.push(() =>
			uci.callUnset(config, uci.loaded[config][section]['.saved'] ?? section, [option])
		);
	},

	add(config, type, name) {
		const id = name ?? `new${++uci.added}`;
		const section = {
			'.type': type,
			'.name': id,
			'.anonymous': name == null,
			'.index': 10000 + uci.added
		};

		uci.loaded[config][id] = section;
		uci.wishes.push(() =>
			uci.callAdd(config, type, name).then(saved => {
				section['.saved'] = saved;
			})
		);

		return id;
	},

	remove(config, section) {
		const saved = uci.loaded[config][section]['.saved'] ?? section;

		delete uci.loaded[config][section];
		uci.wishes.push(() => uci.callUnset(config, saved));
	},

	save() {
		const wishes = uci.wishes.splice(0);

		return wishes.reduce((before, wish) => before.then(wish), Promise.resolve());
	},

	apply() {
		return uci.callApply(10, true).then(() => uci.callConfirm());
	}
};

const ui = {
	createHandlerFn(self, handler, ...args) {
		return event => {
			const button = event.currentTarget;

			button.disabled = true;

			return Promise.resolve()
				.then(() =>
					(typeof handler == 'function' ? handler : self[handler]).call(
						self,
						...args,
						event
					)
				)
				.catch(error => ui.addNotification(null, E('p', {}, [error.message]), 'danger'))
				.finally(() => {
					button.disabled = false;
				});
		};
	},

	addNotification(title, children, ...classes) {
		document
			.querySelector('#notes')
			.append(
				E('div', { class: ['alert-message', ...classes].join(' '), role: 'alert' }, [
					children
				])
			);
	},

	showModal(title, children) {
		const modal = document.querySelector('#modal');

		dom.content(modal, [E('h4', {}, [title]), ...children]);
		modal.showModal();
	},

	hideModal() {
		document.querySelector('#modal').close();
	}
};

const L = {
	env: window.stubEnv,
	modules: {},

	url(...parts) {
		return ['/cgi-bin/luci', ...parts].join('/');
	},

	hasViewPermission() {
		return !L.env.readonly;
	},

	resolveDefault(promise, fallback) {
		return Promise.resolve(promise).catch(() => fallback);
	},

	require(name) {
		L.modules[name] ??= fetch(`/luci-static/resources/${name.replaceAll('.', '/')}.js`)
			.then(answer => {
				if (!answer.ok) throw new Error(`no module ${name}`);

				return answer.text();
			})
			.then(async source => {
				const wanted = [...source.matchAll(/^'require ([^' ]+)(?: as ([^']+))?';$/gm)];
				const names = wanted.map(([, module, as]) => as ?? module.split('.').at(-1));
				const modules = await Promise.all(wanted.map(([, module]) => L.require(module)));
				const made = new Function('window', 'document', 'L', ...names, source)(
					window,
					document,
					L,
					...modules
				);

				return new made();
			});

		return L.modules[name];
	}
};

/* A form: sections with options, each with a field for each section that there is. */
const form = { maps: [] };

form.Map = class {
	constructor(config, title, description) {
		Object.assign(this, { config, title, description, children: [], data: uci });
		form.maps.push(this);
	}

	section(kind, ...args) {
		this.children.push(new kind(this, ...args));

		return this.children.at(-1);
	}

	load() {
		return this.data.load(this.config);
	}

	render() {
		this.root ??= E('div', { class: 'cbi-map' }, []);

		return Promise.resolve(this.load()).then(() =>
			dom.content(this.root, [
				E('h2', {}, [this.title]),
				...this.children.map(section => section.render())
			])
		);
	}

	save() {
		const wrong = this.root.querySelector('.cbi-input-invalid');

		if (wrong)
			return Promise.reject(new Error(`${wrong.dataset.name}: ${wrong.dataset.error}`));

		this.children.forEach(section => section.parse());

		return Promise.resolve(this.data.save()).then(() => {
			this.data.unload?.(this.config);

			return this.render();
		});
	}

	reset() {
		this.data.unload?.(this.config);

		return this.render();
	}
};

form.JSONMap = class extends form.Map {
	constructor(data, title, description) {
		super(null, title, description);

		const named = Object.entries(data).flatMap(([type, list]) =>
			list.map((section, at) =>
				Object.assign({}, section, { '.name': `${type}${at}`, '.type': type })
			)
		);

		this.data = {
			load: () => Promise.resolve(),
			save: () => Promise.resolve(),
			sections: (_config, type) => named.filter(section => section['.type'] == type),
			get: (_config, section, option) => named.find(s => s['.name'] == section)?.[option]
		};
	}
};

form.TypedSection = class {
	constructor(map, type, title, description) {
		Object.assign(this, {
			map,
			sectiontype: type,
			title,
			description,
			options: [],
			tabs: [],
			uciconfig: map.config
		});
	}

	tab(name, title) {
		this.tabs.push({ name, title });
	}

	taboption(tab, kind, name, title, description) {
		const option = new kind(this.map, this, name, title, description);

		option.tab = tab;
		this.options.push(option);

		return option;
	}

	ids() {
		return this.map.data
			.sections(this.uciconfig, this.sectiontype)
			.map(section => section['.name']);
	}

	again(change) {
		change();

		return this.map.render();
	}

	render() {
		const button = (text, change) =>
			E('button', { class: 'cbi-button', click: () => this.again(change) }, [text]);
		const fields = id =>
			this.tabs.map(tab =>
				E('fieldset', { 'data-tab': tab.name }, [
					E('legend', {}, [tab.title]),
					...this.options
						.filter(option => option.tab == tab.name)
						.map(option => option.render(id))
				])
			);

		return E('div', { class: 'cbi-section', 'data-section': this.sectiontype }, [
			E('h3', {}, [this.title]),
			...(this.description ? [E('p', {}, [this.description])] : []),
			...this.ids().map(id =>
				E('div', { 'data-id': id }, [
					...fields(id),
					...(this.addremove
						? [button('Delete', () => this.map.data.remove(this.uciconfig, id))]
						: [])
				])
			),
			...(this.addremove
				? [
						button(this.addbtntitle, () =>
							this.map.data.add(this.uciconfig, this.sectiontype)
						)
					]
				: [])
		]);
	}

	parse() {
		this.ids().forEach(id => this.options.forEach(option => option.parse(id)));
	}
};

form.Value = class {
	constructor(map, section, option, title, description) {
		Object.assign(this, {
			map,
			section,
			option,
			title,
			description,
			rmempty: true,
			fields: {}
		});
	}

	validate() {
		return true;
	}

	isActive() {
		return true;
	}

	cfgvalue(id) {
		return this.map.data.get(this.section.uciconfig, id, this.option);
	}

	write(id, value) {
		return this.map.data.set(this.section.uciconfig, id, this.option, value);
	}

	remove(id) {
		return this.map.data.unset(this.section.uciconfig, id, this.option);
	}

	/* Marks what is wrong with one field. */
	check(id, input) {
		const verdict = this.validate(id, input.value);
		const wrong = verdict !== true;

		input.classList.toggle('cbi-input-invalid', wrong);
		input.dataset.error = wrong ? verdict : '';
		input.setAttribute('aria-invalid', wrong);
	}

	input(id, value, more) {
		const input = E(
			'input',
			Object.assign(
				{
					type: this.password ? 'password' : 'text',
					placeholder: this.placeholder,
					'data-name': `${this.section.sectiontype}.${this.option}`,
					'aria-label': this.title,
					disabled: (this.readonly ?? this.map.readonly) ? '' : null
				},
				more
			),
			[]
		);

		input.value = value ?? '';
		input.addEventListener('input', () => this.check(id, input));

		return input;
	}

	render(id) {
		const value = this.cfgvalue(id) ?? this.default;

		return E('div', { class: 'cbi-value', 'data-field': `${id}.${this.option}` }, [
			E('label', { class: 'cbi-value-title' }, [this.title]),
			' ',
			E('span', { class: 'cbi-value-field' }, [this.widget(id, value)]),
			E('div', { class: 'cbi-value-description' }, [this.description])
		]);
	}

	widget(id, value) {
		return (this.fields[id] = this.input(id, Array.isArray(value) ? value.join(' ') : value));
	}

	formvalue(id) {
		return this.fields[id].value;
	}

	parse(id) {
		const value = this.formvalue(id);
		const before = this.cfgvalue(id);

		if (value.length == 0 && !this.rmempty)
			throw new Error(`${this.section.sectiontype}.${this.option} must not be empty`);

		if (value.length == 0) this.remove(id);
		else if (JSON.stringify(value) != JSON.stringify(before)) this.write(id, value);
	}
};

form.Flag = class extends form.Value {
	widget(id, value) {
		const field = this.input(id, '', { type: 'checkbox' });

		field.checked = value == '1';

		return (this.fields[id] = field);
	}

	formvalue(id) {
		return this.fields[id].checked ? '1' : '0';
	}

	parse(id) {
		if (this.rmempty && this.formvalue(id) == this.default) this.remove(id);
		else super.parse(id);
	}
};

form.ListValue = class extends form.Value {
	value(key, title) {
		(this.choices ??= []).push([key, title]);
	}

	widget(id, value) {
		return (this.fields[id] = E(
			'select',
			{
				'data-name': `${this.section.sectiontype}.${this.option}`,
				'aria-label': this.title,
				disabled: this.map.readonly ? '' : null
			},
			this.choices.map(([key, title]) =>
				E('option', { value: key, selected: key == value ? '' : null }, [title])
			)
		));
	}
};

form.DynamicList = class extends form.Value {
	widget(id, value) {
		const list = E('span', {}, []);
		const add = text => list.append(this.input(id, text));

		(Array.isArray(value) ? value : value != null ? [value] : []).forEach(add);
		add('');
		this.fields[id] = list;

		return E('span', {}, [
			list,
			...(this.map.readonly ? [] : [E('button', { click: () => add('') }, ['+'])])
		]);
	}

	formvalue(id) {
		return [...this.fields[id].querySelectorAll('input')]
			.map(input => input.value)
			.filter(text => text != '');
	}
};

window.L = L;
Object.assign(
	L.modules,
	Object.fromEntries(
		Object.entries({ baseclass, view, rpc, poll, uci, ui, dom, form }).map(([name, module]) => [
			name,
			Promise.resolve(module)
		])
	)
);
