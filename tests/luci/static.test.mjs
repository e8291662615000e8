// The scripts as text: what eslint says, what a minifier makes of them, and whether what is made
// from other files is up to date.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { minify } from './jsmin.mjs';
import {
	app,
	catalogue,
	messages,
	parse,
	schema,
	schemaModule,
	schemaPath,
	scripts,
	template,
	templatePath,
	walk
} from './texts.mjs';

const root = fileURLToPath(new URL('../..', import.meta.url));
const tools = createRequire(path.join(root, 'target/tools/luci/package.json'));
const { COSIP: cosip, SCRATCH: scratch, KINDS: kinds } = process.env;
const sources = scripts().map(file => [path.relative(app, file), fs.readFileSync(file, 'utf8')]);

test('schema and template are what the program and the scripts say; else: make texts', () => {
	assert.equal(fs.readFileSync(schemaPath, 'utf8'), schemaModule(cosip));
	assert.equal(fs.readFileSync(templatePath, 'utf8'), template());
});

test('the German catalogue is complete, and its placeholders fit', () => {
	const german = catalogue(path.join(app, 'po/de/cosip.po'));
	const placeholders = text => text.match(/%[sd]/g) ?? [];

	const wanted = messages();

	for (const text of wanted.keys()) {
		assert.ok(german.get(text), `not translated: ${text}`);
		assert.deepEqual(placeholders(german.get(text)), placeholders(text), text);
	}

	german.delete('');
	assert.deepEqual(
		[...german.keys()].filter(text => !wanted.has(text)),
		[],
		'translated and not used'
	);
});

test('eslint finds nothing, with the globals that LuCI has', async () => {
	const { ESLint } = tools('eslint');
	const globals = tools('globals');
	const names = ['_', 'N_', 'L', 'E'];
	const eslint = new ESLint({
		cwd: root,
		overrideConfigFile: true,
		overrideConfig: [
			tools('@eslint/js').configs.recommended,
			{
				files: ['openwrt/**/*.js'],
				languageOptions: {
					sourceType: 'script',
					ecmaVersion: 2022,
					parserOptions: { ecmaFeatures: { globalReturn: true } },
					globals: {
						...globals.browser,
						...Object.fromEntries(names.map(name => [name, 'readonly']))
					}
				},
				rules: {
					strict: 'off',
					'no-control-regex': 'off',
					eqeqeq: 'off',
					'no-shadow': 'error',
					'no-unused-vars': [
						'error',
						{ argsIgnorePattern: '^_', caughtErrors: 'none', varsIgnorePattern: '^$' }
					]
				}
			},
			{
				files: ['tests/**/*.mjs'],
				languageOptions: { globals: { ...globals.node, ...globals.browser } }
			}
		]
	});

	/* Modules come in by `'require x as y'`, which eslint takes for a text. */
	const results = await Promise.all(
		sources.map(([name, source]) => {
			const required = [...source.matchAll(/^'require ([^' ]+)(?: as ([^']+))?';$/gm)].map(
				([, module, as]) => as ?? module.split('.').at(-1)
			);
			const comment = `/* global ${required.join(', ')} */`;

			return eslint.lintText(`${comment}${source}`, {
				filePath: path.join('openwrt/luci-app-cosip', name)
			});
		})
	);
	const own = await eslint.lintFiles(['tests/luci/*.mjs', 'tests/luci/stub/*.mjs']);
	const faults = [...results.flat(), ...own].flatMap(result =>
		result.messages.map(message => `${result.filePath}:${message.line}: ${message.message}`)
	);

	assert.deepEqual(faults, []);
});

test('every module that is required is used, and no other', () => {
	for (const [name, source] of sources) {
		const required = [...source.matchAll(/^'require ([^' ]+)(?: as ([^']+))?';$/gm)].map(
			([, module, as]) => as ?? module.split('.').at(-1)
		);

		for (const module of required)
			assert.ok(
				source.replaceAll(/^'require.*$/gm, '').match(new RegExp(`\\b${module}\\b`)),
				`${name}: ${module}`
			);
	}
});

test('a bare text is never the child of an element, where LuCI would take it for HTML', () => {
	for (const [name, source] of sources)
		walk(parse(source), node => {
			const nodes =
				{ E: 2 }[node.callee?.name] ??
				(node.callee?.object?.name == 'dom' && node.callee.property.name == 'content'
					? 1
					: null);
			const child = nodes == null ? null : node.arguments?.[nodes];
			const safe =
				['ArrayExpression', 'ConditionalExpression'].includes(child?.type) ||
				(child?.type == 'CallExpression' && child.callee.property?.name == 'map');

			if (node.type == 'CallExpression' && child)
				assert.ok(safe, `${name}:${node.loc.start.line}`);

			assert.notEqual(node.property?.name, 'innerHTML', name);
		});
});

test('minified as LuCI does it, the scripts are still the same programs', () => {
	const shape = source =>
		JSON.stringify(parse(source), (key, value) =>
			['start', 'end', 'loc', 'raw'].includes(key) ? undefined : value
		);

	for (const [name, source] of sources) {
		const small = minify(source);
		const file = path.join(scratch, path.basename(name));

		assert.ok(small.length < source.length, name);
		assert.equal(shape(small), shape(source), name);
		fs.writeFileSync(file, `(function() {${small}\n})`);
		execFileSync(process.execPath, ['--check', file]);
	}
});

test('a value is right for the form where it is right for the daemon', () => {
	const source = fs.readFileSync(
		path.join(app, 'htdocs/luci-static/resources/cosip/kinds.js'),
		'utf8'
	);
	const checks = new Function('baseclass', '_', source)(
		{ extend: members => members },
		text => text
	);
	const rows = schema(cosip).options;
	const verdicts = JSON.parse(fs.readFileSync(kinds, 'utf8'));

	assert.ok(verdicts.length > 1000);

	for (const [section, option, value, takes] of verdicts) {
		const row = rows.find(one => one.section == section && one.option == option);

		assert.equal(
			checks.takes(row, value),
			takes,
			`${section}.${option}: ${JSON.stringify(value)}`
		);
	}
});

test('words of the daemon that have translations are those that it says', () => {
	const verdict = fs.readFileSync(path.join(root, 'src/adapter/server/verdict.rs'), 'utf8');
	const display = verdict.slice(verdict.indexOf('impl fmt::Display for Reason'));
	const said = [...display.matchAll(/Self::\w+ => "([^"]+)"/g)].map(([, text]) => text);

	assert.ok(said.length >= 9);

	const known = messages();

	for (const text of said) assert.ok(known.has(text), text);
});
