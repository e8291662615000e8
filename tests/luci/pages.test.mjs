// The pages in a real browser, against the running program: what people see, and what they can do.

import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { hostile, until } from './scene.mjs';
import { app, catalogue, schema } from './texts.mjs';
import {
	a,
	build,
	ha1,
	on,
	password,
	phones,
	refuse,
	root,
	sees,
	shots,
	tearDown,
	textOf,
	web
} from './town.mjs';

const options = schema(a.cosip).options;
const secretPattern = /^[0-9a-f]{64}$/;
let networkSecret;

before(
	async () => {
		networkSecret = await build();
	},
	{ timeout: 120000 }
);

after(tearDown);

test('the overview shows how things stand, servers, phones, calls and other routers', () =>
	on('overview', async page => {
		assert.match(await textOf(page, '[data-part=service]'), /All is well/);
		assert.match(await textOf(page, '[data-part=servers]'), /example\.net.*answers/s);

		const states = await page
			.locator('.cosip-timeline rect')
			.evaluateAll(rects => rects.map(rect => rect.dataset.state));

		for (const state of ['unknown', 'suspect', 'down', 'up'])
			assert.ok(states.includes(state), `${state} of ${states}`);

		assert.equal(await page.locator('[data-part=phones] tr').count(), phones + 1);
		assert.match(
			await textOf(page, '[data-part=calls]'),
			/alice.*bob.*directly, router to router · server silent/s
		);
		assert.match(await textOf(page, '[data-part=peers]'), /1 known/);

		const calls = await page.locator('[data-part=recent] summary').allInnerTexts();

		assert.deepEqual(
			calls.map(text => text.split(' · ')[1]),
			['through the server', 'directly, router to router', 'through the server']
		);

		if (shots)
			await page.screenshot({ path: path.join(shots, 'luci-overview.png'), fullPage: true });
	}));

test('what is taken from phones, what passes by, and what is in the way are told', async () => {
	/* As a router of the rig said it, which takes phones' traffic for real. */
	const said = JSON.parse(fs.readFileSync(path.join(root, 'tests/luci/intercepted.json')));
	const honest = web.call.bind(web);
	const service = '[data-part=service]';

	await on('overview', async page => {
		assert.match(await textOf(page, service), /know their provider alone are not served/);
		assert.doesNotMatch(await textOf(page, service), /time not yet known/);
	});

	try {
		web.call = async (...args) => {
			const [code, reply] = await honest(...args);

			return [
				code,
				reply.interception
					? {
							...reply,
							...said,
							phones: [...reply.phones, ...said.phones],
							time_known: false
						}
					: reply
			];
		};
		await on('overview', async page => {
			assert.match(await textOf(page, service), /are served too \(tproxy\)\./);
			assert.match(await textOf(page, service), /· time not yet known ·/);
			assert.match(
				await textOf(page, '[data-part=phones]'),
				/not known\s+192\.168\.1\.11\s+not protected: TLS\s+no/
			);
		});
		Object.assign(said.interception, {
			method: 'none',
			reason: 'option intercept is 0',
			warning: hostile
		});
		await on('overview', async page => {
			assert.match(await textOf(page, service), /not served: option intercept is 0/);
			assert.ok((await textOf(page, '[role=alert]')).includes(hostile));
		});
	} finally {
		web.call = honest;
	}
});

test('a ladder opens by keyboard, and stays open and in focus while the page is drawn anew', () =>
	on('overview', async page => {
		const last = page.locator('[data-part=recent] summary').nth(2);

		await last.focus();
		await page.keyboard.press('Enter');

		const ladder = page.locator('[data-part=recent] details').nth(2).locator('svg');

		await ladder.waitFor({ state: 'visible' });
		assert.ok(
			(await ladder.getAttribute('aria-label')).includes(hostile.slice(0, 20)),
			'what the server said is there as text'
		);
		await page.evaluate(() => {
			document.querySelector('[data-part=recent] details').dataset.old = 'yes';
		});
		await until('a drawing anew', () =>
			page.evaluate(() => !document.querySelector('[data-part=recent] details').dataset.old)
		);
		assert.ok(await ladder.isVisible());
		assert.ok(await last.evaluate(node => node == document.activeElement));
		assert.equal(await page.locator('#view img').count(), 0);
	}));

test('nothing is wider than a phone, with 32 phones too', async () => {
	for (const name of ['overview', 'settings', 'status'])
		await on(
			name,
			async page => {
				const width = await page.evaluate(() => document.scrollingElement.scrollWidth);

				assert.ok(width <= 360, `${name} is ${width} wide`);

				if (shots && name == 'overview')
					await page.screenshot({ path: path.join(shots, 'luci-phone.png') });
			},
			{ width: 360, height: 760 }
		);
});

test('the card on the status page says the same sentence', () =>
	on('status', async page => {
		assert.match(await textOf(page, '#view'), /All is well/);
		assert.match(await textOf(page, '#view'), new RegExp(`Phones\\s+${phones}`));
		await page.locator('#view a[href$="cosip/overview"]').waitFor();
	}));

test('whatever the program says, no text of it becomes HTML', async () => {
	const poison = value =>
		typeof value == 'string'
			? `${hostile}"'`
			: Array.isArray(value)
				? value.map(poison)
				: value && typeof value == 'object'
					? Object.fromEntries(
							Object.entries(value).map(([key, inner]) => [key, poison(inner)])
						)
					: value;
	const honest = web.call.bind(web);

	web.call = async (...args) => {
		const [code, reply] = await honest(...args);
		const error = { file: hostile, line: 1, value: hostile, allowed: hostile };

		return [
			code,
			Object.assign(
				poison(reply),
				reply.config ? { config: { error, restart_pending: [hostile] } } : {}
			)
		];
	};

	try {
		for (const name of ['overview', 'settings', 'status'])
			for (const groups of [['read', 'write'], ['read']])
				await on(
					name,
					async page => {
						await page.waitForTimeout(400);
						assert.equal(await page.locator('#view img').count(), 0);
						assert.ok(
							name == 'settings' || (await textOf(page, '#view')).includes(hostile)
						);
					},
					{ groups }
				);
	} finally {
		web.call = honest;
	}
});

test('a probe is asked for and told', () =>
	on('overview', async page => {
		await page.locator('[data-key=probe]').click();
		await sees(page, '#notes', /Asked: example\.net|Nobody could be asked/);
	}));

test('the switch stops and starts the daemon, by keyboard', () =>
	on('overview', async page => {
		const press = async () => {
			await page.locator('[data-key=switch]').focus();
			await page.keyboard.press('Space');
		};

		await press();
		await sees(page, '[data-part=service]', /CoSIP is off/);
		assert.equal(a.ask('status').running, false);
		assert.equal(await page.locator('[data-part=phones]').isVisible(), false);
		await press();
		await sees(page, '[data-part=service]', /running for/);
		assert.ok(await page.locator('[data-key=switch]').isChecked());
	}));

test('changes that wait to be applied are not applied in passing', () =>
	on('overview', async page => {
		web.uci.set({ section: 'adapter', values: { log_level: 'debug' } });
		await page.locator('[data-key=switch]').click();
		await sees(page, '#notes', /apply or revert them first/);
		assert.ok(a.ask('status').running);
		Object.assign(web.uci, { staged: null, changed: [] });
	}));

test('who may only read sees all but secrets, and can change nothing', async () => {
	web.asked.length = 0;

	const readonly = { groups: ['read'] };

	await on(
		'overview',
		async page => {
			assert.ok(await page.locator('[data-key=switch]').isDisabled());
			assert.ok(await page.locator('[data-key=probe]').isDisabled());
		},
		readonly
	);
	await on(
		'settings',
		async page => {
			assert.equal(
				await page.locator('[data-part=secret], .cbi-page-actions button').count(),
				0
			);
			assert.equal(
				await page.locator('.cbi-map input:enabled, .cbi-map select:enabled').count(),
				0
			);
			assert.equal(
				await page.locator('[data-field$=".domain"] input').inputValue(),
				'example.net'
			);
			assert.equal(
				await page
					.locator('[data-field$=".password"] input')
					.first()
					.getAttribute('placeholder'),
				'stored, not shown'
			);

			const html = await page.content();

			for (const text of [password, ha1, networkSecret]) assert.ok(!html.includes(text));
		},
		readonly
	);
	assert.deepEqual(
		web.asked.filter(asked => !asked.startsWith('luci.cosip') && !asked.startsWith('session')),
		[]
	);

	for (const text of [password, ha1, networkSecret])
		assert.ok(!JSON.stringify([web.recorded.status, web.recorded.config]).includes(text));
});

test('every option of the schema has a field with its help', () =>
	on('settings', async page => {
		for (const option of options) {
			const field = page
				.locator(`[data-section=${option.section}] [data-field$=".${option.option}"]`)
				.first();
			const [title, text] = [
				await field.locator('.cbi-value-title').innerText(),
				await field.innerText()
			];

			assert.ok(text.includes(option.help), `${option.section}.${option.option}: ${text}`);
			assert.notEqual(title, `${option.section}.${option.option}`, 'an option needs a title');
			assert.equal(text.includes('A change needs a restart.'), option.applies == 'restart');
		}

		assert.equal(
			await page.locator('[data-section=adapter] [data-field]').count(),
			options.filter(o => o.section == 'adapter').length
		);

		if (shots) await page.screenshot({ path: path.join(shots, 'luci-settings.png') });
	}));

test('a wrong value is told beside its field and not saved; a right one reaches the daemon', () =>
	on('settings', async page => {
		const port = page.locator('[data-field="adapter.sip_port"] input');
		const before = fs.readFileSync(a.settings, 'utf8');

		await port.fill('70000');
		assert.equal(
			await port.getAttribute('data-error'),
			'Allowed: a whole number from 1 to 65535'
		);
		await page.locator('.handleSaveApply').click();
		await sees(page, '#notes', /adapter\.sip_port/);
		assert.equal(fs.readFileSync(a.settings, 'utf8'), before);
		await port.fill('5066');
		await page.locator('[data-field="adapter.log_level"] select').selectOption('debug');
		await page.locator('.handleSaveApply').click();
		await sees(
			page,
			'[data-part=banner]',
			/wait for a restart: This router: SIP port on the LAN/
		);
		await page.locator('[data-part=banner] button').click();
		await until('a restart', async () => (await textOf(page, '[data-part=banner]')) == '');
		assert.ok(
			fs.readFileSync(a.settings, 'utf8').includes(password),
			'a secret that is not shown stays'
		);
	}));

test('a password is written, replaces the hash, and is not shown again', () =>
	on('settings', async page => {
		const field = page
			.locator('[data-section=account] [data-id]')
			.nth(1)
			.locator('[data-field$=".password"] input');

		await field.fill('new password');
		await page.locator('.handleSaveApply').click();
		await until('the password in the file', () =>
			fs.readFileSync(a.settings, 'utf8').includes('new password')
		);
		assert.ok(!fs.readFileSync(a.settings, 'utf8').includes(ha1));
		await until('an empty field', async () => (await field.inputValue()) == '');
		assert.equal(await field.getAttribute('placeholder'), 'stored, not shown');
	}));

test('a provider is added and removed', () =>
	on('settings', async page => {
		const section = page.locator('[data-section=provider]');

		await section.getByText('Add a provider').click();
		await page.locator('.handleSave').click();
		await sees(page, '#notes', /must/);
		await section.locator('[data-field$=".domain"] input').nth(1).fill('example.org');
		await page.locator('.handleSaveApply').click();
		await until('two providers', () =>
			/option domain 'example\.org'/.test(fs.readFileSync(a.settings, 'utf8'))
		);
		await section.getByText('Delete').nth(1).click();
		await page.locator('.handleSaveApply').click();
		await until(
			'one provider',
			() => !/example\.org/.test(fs.readFileSync(a.settings, 'utf8'))
		);
	}));

test('what the daemon refuses is shown with file, line and what is allowed', async () => {
	const good = await refuse();

	await on('settings', page =>
		sees(page, '[data-part=banner]', /goes on with the settings that it had before/)
	);
	fs.writeFileSync(a.settings, good);
	a.run('reload');
	await until('no error', () => !a.ask('status').config.error);

	/* An init script may keep from the daemon what it cannot use. */
	fs.writeFileSync(a.settings, good.replace("sip_port '5066'", "sip_port '80000'"));
	await on('settings', page =>
		sees(page, '[data-part=banner]', /“80000”.*goes on with the settings that it had before/s)
	);
	fs.writeFileSync(a.settings, good);
});

test('a secret is stored or made, and told once', () =>
	on('settings', async page => {
		const file = path.join(a.state, 'network.key');
		const field = page.locator('[data-key=secret]');

		await field.fill('short');
		await page.locator('[data-part=secret] button').first().click();
		await sees(page, '#notes', /64 hexadecimal digits/);
		await field.fill('5e'.repeat(32));
		await page.locator('[data-part=secret] button').first().click();
		await sees(page, '#notes', /Stored, and in use/);
		assert.equal(fs.readFileSync(file, 'utf8').trim(), '5e'.repeat(32));
		assert.equal(fs.statSync(file).mode & 0o777, 0o600);
		assert.equal(await field.inputValue(), '');

		/* The old one and a new one, as an exchange of secrets wants it. */
		const both = `${'6e'.repeat(32)}\n${'5e'.repeat(32)}`;

		await field.fill(both);
		await page.locator('[data-part=secret] button').first().click();
		await until('two secrets', () => fs.readFileSync(file, 'utf8').trim() == both);
		await until('an empty field', async () => (await field.inputValue()) == '');
		await page.getByText('Make a new one').click();
		await page.getByText('Make a new secret').click();
		await sees(page, '#modal', /Stored, and in use/);

		const made = await page.locator('#modal code').innerText();

		assert.match(made, secretPattern);
		assert.equal(fs.readFileSync(file, 'utf8').trim(), made);
	}));

test('all texts of all pages are there in German', async () => {
	const german = catalogue(path.join(app, 'po/de/cosip.po'));
	const language = Object.fromEntries(german);
	const english = new Set(
		[...german].filter(([id, text]) => id != text && id.length > 3).map(([id]) => id)
	);

	for (const name of ['overview', 'settings', 'status'])
		await on(
			name,
			async page => {
				const texts = (await textOf(page, '#view')).split('\n').map(line => line.trim());

				assert.deepEqual(
					texts.filter(text => english.has(text)),
					[]
				);
				assert.match(texts.join('\n'), /Telefone|Anschluss|Server/);
			},
			{ language }
		);
});

test('before it is set up, the overview says what is missing; with the shipped file and enabled it passes calls on', async () => {
	const shipped = fs.readFileSync(
		path.join(root, 'openwrt/net/cosip/files/cosip.config'),
		'utf8'
	);

	a.run('stop');
	fs.rmSync(path.join(a.state, 'network.key'));
	fs.writeFileSync(a.settings, shipped);
	await on('overview', async page => {
		assert.match(
			await textOf(page, '[data-part=service]'),
			/CoSIP is off.*Add your provider.*Store the secret/s
		);
		assert.equal(await page.locator('[data-key=switch]').isChecked(), false);
	});
	await on('status', page => sees(page, '#view', /CoSIP is off/));
	await on('settings', async page =>
		assert.equal(await page.locator('[data-section=adapter] [data-id]').count(), 1)
	);

	const enabled = shipped
		.replace("enabled '0'", "enabled '1'")
		.replace("list lan 'lan'", `list lan '${a.lan}'`);

	/* Nothing here has the name of a router's network. */
	fs.writeFileSync(a.settings, enabled);
	a.run('reload');
	await on('overview', page =>
		sees(
			page,
			'[data-part=service]',
			/waits for the Internet.*Bring up a network.*under “WAN”, or name another/s
		)
	);
	fs.writeFileSync(a.settings, enabled.replace("list wan 'wan'", `list wan '${a.wan}'`));
	a.run('reload');
	await until('a daemon', () => a.ask('status').running && a.ask('status').network.wan.length);
	await on('overview', page =>
		sees(
			page,
			'[data-part=service]',
			/Calls pass through this router as before.*Add your provider.*Store the secret/s
		)
	);
	await on('settings', async page => {
		await page.locator('[data-key=secret]').fill('7e'.repeat(32));
		await page.locator('[data-part=secret] button').first().click();
		await sees(page, '#notes', /used after a restart/);
		await page.locator('[data-part=banner] button').click();
		await until('an overlay', () => a.ask('status').overlay?.id);
		await until('nothing to wait for', async () =>
			(await textOf(page, '[data-part=banner]')) == ''
		);
	});
});

test('settings that cannot be read leave pages that say so', async () => {
	a.run('stop');
	fs.writeFileSync(
		a.settings,
		"config adapter 'adapter'\n\toption sip_port '70000'\n\toption enabled '1'\n"
	);
	await on('overview', page =>
		sees(page, '[data-part=service]', /does not run: its settings have a mistake.*line 2/s)
	);
	await on('settings', page =>
		sees(page, '[data-part=banner]', /line 2.*does not start with these settings/s)
	);
	fs.rmSync(a.settings);
	await on('overview', page =>
		sees(page, '[data-part=service]', /cannot be read.*No such file/s)
	);
	await on('settings', page => sees(page, '#view', /The settings cannot be read/));
	fs.writeFileSync(a.settings, "config adapter 'adapter'\n");
	web.plugin[0] = '/nonexistent';

	for (const name of ['overview', 'settings'])
		await on(name, page => sees(page, '#view', /cannot be asked how it is/));

	await on('status', async page => assert.equal(await textOf(page, '#view'), ''));
});
