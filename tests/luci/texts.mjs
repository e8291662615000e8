// What is made from other files and kept with them: the schema of the form, and the template of
// translations. `node texts.mjs COSIP` writes both; the tests compare.

import { execFileSync } from 'node:child_process';
import { createRequire } from 'node:module';
import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../..', import.meta.url));
const tools = createRequire(path.join(root, 'target/tools/luci/package.json'));
const acorn = tools('acorn');

export const app = path.join(root, 'openwrt/luci-app-cosip');
export const schemaPath = path.join(app, 'htdocs/luci-static/resources/cosip/schema.js');
export const templatePath = path.join(app, 'po/templates/cosip.pot');

/** The options as `cosip check --schema` tells them. */
export function schema(cosip) {
	return JSON.parse(execFileSync(cosip, ['check', '--schema']));
}

/** The module that the form takes its options from. */
export function schemaModule(cosip) {
	const quote = value => `'${value.replace(/[\\']/g, '\\$&')}'`;
	const literal = value =>
		Array.isArray(value)
			? value.length
				? `[${value.map(literal).join(', ')}]`
				: '[]'
			: typeof value == 'string'
				? quote(value)
				: String(value);
	const lines = [
		['section', 'option', 'repeatable'],
		['type', 'list', 'applies'],
		['min', 'max', 'digits', 'values'],
		['default']
	];
	const row = option => {
		const fields = lines
			.map(keys => keys.filter(key => key in option))
			.filter(keys => keys.length)
			.map(keys => keys.map(key => `${key}: ${literal(option[key])}`).join(', '));

		return `\t\t{\n${[...fields, `help: _(${quote(option.help)})`]
			.map(line => `\t\t\t${line}`)
			.join(',\n')}\n\t\t}`;
	};

	return [
		`'use strict';`,
		`'require baseclass';`,
		``,
		`/* Made from \`cosip check --schema\` by \`make texts\`; a test compares the two. */`,
		``,
		`return baseclass.extend({`,
		`\toptions: [`,
		schema(cosip).options.map(row).join(',\n'),
		`\t]`,
		`});`,
		``
	].join('\n');
}

export function scripts() {
	const folder = path.join(app, 'htdocs');

	return fs
		.readdirSync(folder, { recursive: true })
		.filter(name => name.endsWith('.js'))
		.map(name => path.join(folder, name))
		.sort();
}

/** The tree of a script as LuCI's loader runs it: the body of a function. */
export function parse(source) {
	return acorn.parse(source, {
		ecmaVersion: 2022,
		sourceType: 'script',
		allowReturnOutsideFunction: true,
		locations: true
	});
}

/** Calls `visit` with every node below `node`. */
export function walk(node, visit) {
	if (Array.isArray(node)) return node.forEach(child => walk(child, visit));

	if (typeof node?.type != 'string') return;

	visit(node);

	for (const [key, child] of Object.entries(node)) if (key != 'loc') walk(child, visit);
}

/** Every text that is translated, with the places where it stands: scripts, menu and access list. */
export function messages() {
	const found = new Map();
	const note = (text, file, line) => {
		const place = `applications/luci-app-cosip/${path.relative(app, file)}:${line}`;

		found.set(text, [...(found.get(text) ?? []), place]);
	};

	for (const file of scripts())
		walk(parse(fs.readFileSync(file, 'utf8')), node => {
			if (node.type != 'CallExpression' || node.callee.name != '_') return;

			const [text] = node.arguments;

			if (node.arguments.length != 1 || typeof text.value != 'string')
				throw new Error(`${file}:${node.loc.start.line}: _() wants one literal text`);

			note(text.value, file, text.loc.start.line);
		});

	for (const kind of ['root/usr/share/luci/menu.d', 'root/usr/share/rpcd/acl.d']) {
		const file = path.join(app, kind, 'luci-app-cosip.json');
		const lines = fs.readFileSync(file, 'utf8').split('\n');

		for (const [at, line] of lines.entries()) {
			const text = line.match(/"(?:title|description)":\s*("(?:[^"\\]|\\.)*")/);

			if (text) note(JSON.parse(text[1]), file, at + 1);
		}
	}

	return found;
}

/** A text after its keyword, in lines as short as gettext's tools make them. */
function wrapped(keyword, text) {
	const columns = 79;
	const whole = `${keyword} ${JSON.stringify(text)}`;

	if (whole.length <= columns) return whole;

	const lines = [''];

	for (const word of text.match(/[^ ]* ?/g).filter(part => part)) {
		if (JSON.stringify(lines.at(-1) + word).length > columns) lines.push('');

		lines[lines.length - 1] += word;
	}

	return [`${keyword} ""`, ...lines.map(line => JSON.stringify(line))].join('\n');
}

/** The template, in the layout of LuCI's own scanner. */
export function template() {
	const place = text => text.split(/:(?=\d+$)/);
	const order = (a, b) =>
		place(a)[0] < place(b)[0] ? -1 : place(a)[0] > place(b)[0] ? 1 : place(a)[1] - place(b)[1];
	const entries = [...messages()].sort(([a], [b]) => (a < b ? -1 : 1));

	return ['msgid ""\nmsgstr "Content-Type: text/plain; charset=UTF-8"\n']
		.concat(
			entries.map(
				([text, places]) =>
					`${places
						.sort(order)
						.map(p => `#: ${p}\n`)
						.join('')}${wrapped('msgid', text)}\nmsgstr ""\n`
			)
		)
		.join('\n');
}

/** The texts of a catalogue with their translations. */
export function catalogue(file) {
	const texts = new Map();
	const entry = /^msgid (".*")\n((?:".*"\n)*)msgstr (".*")\n((?:".*"\n)*)/gm;
	const join = (first, more) =>
		[first, ...more.split('\n')]
			.filter(part => part)
			.map(part => JSON.parse(part))
			.join('');

	for (const [, id, moreId, text, moreText] of fs
		.readFileSync(file, 'utf8')
		.concat('\n')
		.matchAll(entry))
		texts.set(join(id, moreId), join(text, moreText));

	return texts;
}

if (process.argv[1] == fileURLToPath(import.meta.url)) {
	fs.writeFileSync(schemaPath, schemaModule(process.argv[2]));
	fs.writeFileSync(templatePath, template());
}
