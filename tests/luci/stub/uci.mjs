// UCI files as a router's rpcd serves them: sections with options, changes kept until they are
// applied. Reads what `uci` itself writes and what people write with quotes around each value.

import fs from 'node:fs';

/** The sections of a file, in its order. */
export function read(file) {
	const sections = [];
	const line = /^\s*(config|option|list)\s+(\S+)(?:\s+(?:'((?:[^']|'\\'')*)'|(\S+)))?\s*$/;

	for (const text of fs.readFileSync(file, 'utf8').split('\n')) {
		const [, word, name, quoted, bare] = text.match(line) ?? [];
		const value = quoted?.replaceAll(`'\\''`, `'`) ?? bare;
		const options = sections.at(-1)?.options;

		if (word == 'config') sections.push({ type: name, name: value, options: {} });
		else if (word == 'option') options[name] = value;
		else if (word == 'list') options[name] = [...(options[name] ?? []), value];
	}

	return sections;
}

function write(file, sections) {
	const quote = value => `'${value.replaceAll(`'`, `'\\''`)}'`;
	const lines = sections.flatMap(section => [
		'',
		`config ${section.type}${section.name ? ` ${quote(section.name)}` : ''}`,
		...Object.entries(section.options).flatMap(([name, value]) =>
			Array.isArray(value)
				? value.map(item => `\tlist ${name} ${quote(item)}`)
				: [`\toption ${name} ${quote(value)}`]
		)
	]);

	fs.writeFileSync(file, lines.join('\n') + '\n', { mode: 0o600 });
}

/** The ubus object `uci` of a router whose only file of interest is `file`. */
export class Uci {
	constructor(file, applied) {
		Object.assign(this, { file, applied, staged: null, changed: [] });
	}

	sections() {
		return this.staged ?? read(this.file);
	}

	/* Anonymous sections are named as libuci does: by their place and more. */
	named() {
		return this.sections().map((section, at) => [
			section.name ?? `cfg${String(at + 1).padStart(2, '0')}c0de`,
			section
		]);
	}

	change(what) {
		this.staged ??= read(this.file);
		this.changed.push(what);
	}

	find(id) {
		return this.named().find(([name]) => name == id)?.[1];
	}

	get() {
		return {
			values: Object.fromEntries(
				this.named().map(([id, section], at) => [
					id,
					{
						'.anonymous': section.name == null,
						'.type': section.type,
						'.name': id,
						'.index': at,
						...section.options
					}
				])
			)
		};
	}

	set({ section, values }) {
		this.change(['set', section, ...Object.entries(values).flat()]);
		Object.assign(this.find(section).options, values);
	}

	delete({ section, options }) {
		this.change(['delete', section, options]);

		const found = this.find(section);

		if (options) options.forEach(option => delete found.options[option]);
		else this.staged.splice(this.staged.indexOf(found), 1);
	}

	add({ type, name }) {
		this.change(['add', type]);
		this.staged.push({ type, name, options: {} });

		return { section: this.named().at(-1)[0] };
	}

	changes() {
		return { changes: this.changed.length ? { cosip: this.changed } : {} };
	}

	apply() {
		if (this.staged) write(this.file, this.staged);

		this.staged = null;
		this.changed = [];
		this.applied();
	}

	confirm() {}
}
