// The same pages under the real LuCI, of which LUCI_BASE names the module luci-base: whether what
// the stand-in takes for granted holds there.

import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { until } from './scene.mjs';
import { schema } from './texts.mjs';
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
	textOf
} from './town.mjs';

const fields = 'input, select, textarea';
let networkSecret;

before(
	async () => {
		networkSecret = await build();
	},
	{ timeout: 120000 }
);

after(tearDown);

/** Opens the tab of a section of the form, and one inside it. */
async function openTabs(page, section, inner) {
	await page.locator(`li[data-tab="${section}"] a`).first().click();

	if (inner)
		await page.locator(`[data-tab="${section}"] li[data-tab="${inner}"] a`).first().click();
}

test('the overview shows servers, phones, calls and ladders', () =>
	on('overview', async page => {
		assert.match(await textOf(page, '[data-part=service]'), /All is well/);
		assert.equal(await page.locator('[data-part=phones] .tr').count(), phones + 1);
		assert.ok((await page.locator('.cosip-timeline rect').count()) > 2);

		const call = page.locator('[data-part=recent] summary').nth(1);

		await call.focus();
		await page.keyboard.press('Enter');
		await page.locator('[data-part=recent] svg').nth(1).waitFor({ state: 'visible' });
		await page.waitForTimeout(6000);
		assert.ok(
			await page.locator('[data-part=recent] svg').nth(1).isVisible(),
			'a poll later it is still open'
		);

		if (shots)
			await page.screenshot({ path: path.join(shots, 'real-overview.png'), fullPage: true });
	}));

test('nothing is wider than a phone', async () => {
	for (const name of ['overview', 'settings', 'status'])
		await on(
			name,
			async page => {
				const width = await page.evaluate(() => document.scrollingElement.scrollWidth);

				if (shots)
					await page.screenshot({ path: path.join(shots, `real-phone-${name}.png`) });

				assert.ok(width <= 360, `${name} is ${width} wide`);
			},
			{ width: 360, height: 760 }
		);
});

test('the card shows the sentence', () => on('status', page => sees(page, '#view', /All is well/)));

test('the switch stops and starts the daemon', () =>
	on('overview', async page => {
		await page.locator('[data-key=switch]').click();
		await sees(page, '[data-part=service]', /CoSIP is off/);
		assert.equal(a.ask('status').running, false);
		await page.locator('[data-key=switch]').click();
		await sees(page, '[data-part=service]', /running for/);
	}));

test('every option has a field, and what is changed reaches the daemon', () =>
	on('settings', async page => {
		for (const { section, option } of schema(a.cosip).options)
			assert.ok(
				await page.locator(`[data-tab="${section}"] [data-field$=".${option}"]`).count(),
				`${section}.${option}`
			);

		await openTabs(page, 'adapter', 'expert');

		if (shots) {
			await page.waitForTimeout(500);
			await page.screenshot({ path: path.join(shots, 'real-settings.png') });
		}

		const port = page.locator('[data-tab="adapter"] [data-field$=".sip_port"] input');

		await port.fill('70000');
		await port.blur();
		assert.ok(await port.evaluate(node => node.classList.contains('cbi-input-invalid')));
		await port.fill('5066');
		await page
			.locator('[data-tab="adapter"] [data-field$=".log_level"] select')
			.selectOption('debug');
		await page.locator('.cbi-page-actions .cbi-button-apply').first().click();
		await until('the change in the file', () =>
			/sip_port '5066'/.test(fs.readFileSync(a.settings, 'utf8'))
		);
		await until('the daemon', () =>
			a.ask('status').config.restart_pending.includes('adapter.sip_port')
		);
		assert.ok(fs.readFileSync(a.settings, 'utf8').includes(password));
	}));

test('what waits for a restart is named, and restarted', () =>
	on('settings', async page => {
		await sees(
			page,
			'[data-part=banner]',
			/wait for a restart: This router: SIP port on the LAN/
		);
		await page.locator('[data-part=banner] button').click();
		await until('a restart', async () => (await textOf(page, '[data-part=banner]')) == '');
	}));

test('a password is written and not shown', () =>
	on('settings', async page => {
		await openTabs(page, 'account');

		const field = page.locator('[data-tab="account"] [data-field$=".password"] input').nth(1);

		assert.equal(await field.inputValue(), '');
		await field.fill('new password');
		await page.locator('.cbi-page-actions .cbi-button-apply').first().click();
		await until('the password in the file', () =>
			fs.readFileSync(a.settings, 'utf8').includes('new password')
		);
		assert.ok(!fs.readFileSync(a.settings, 'utf8').includes(ha1));
		assert.ok(fs.readFileSync(a.settings, 'utf8').includes(password));
	}));

test('a provider is added', () =>
	on('settings', async page => {
		await openTabs(page, 'provider');
		await page.getByText('Add a provider').click();
		await page
			.locator('[data-tab="provider"] [data-field$=".domain"] input')
			.nth(1)
			.fill('example.org');
		await page.locator('.cbi-page-actions .cbi-button-apply').first().click();
		await until('two providers', () =>
			/domain 'example\.org'/.test(fs.readFileSync(a.settings, 'utf8'))
		);
	}));

test('a secret is made and told once', () =>
	on('settings', async page => {
		await page.getByText('Make a new one').click();
		await page.getByText('Make a new secret').click();

		const made = await page.locator('#modal_overlay code').innerText();

		assert.equal(fs.readFileSync(path.join(a.state, 'network.key'), 'utf8').trim(), made);
		networkSecret = made;
	}));

test('who may only read sees all but secrets', async () => {
	const readonly = { groups: ['read'] };

	await on(
		'overview',
		async page => assert.ok(await page.locator('[data-key=switch]').isDisabled()),
		readonly
	);
	await on(
		'settings',
		async page => {
			const enabled = await page
				.locator('.cbi-map')
				.locator(fields)
				.evaluateAll(nodes =>
					nodes
						.filter(node => !node.disabled && node.type != 'hidden')
						.map(node => node.outerHTML)
				);

			assert.deepEqual(enabled, []);
			assert.equal(
				await page
					.locator('[data-tab="provider"] [data-field$=".domain"] input')
					.first()
					.inputValue(),
				'example.net'
			);

			const html = await page.content();

			for (const text of [password, ha1, networkSecret]) assert.ok(!html.includes(text));
		},
		readonly
	);
});

test('what the daemon refuses is shown, and a daemon that is stopped or not set up', async () => {
	const good = await refuse();

	fs.writeFileSync(a.settings, good);
	a.run('stop');
	await on('overview', page =>
		sees(page, '[data-part=service]', /CoSIP is on, but does not run/)
	);
	fs.copyFileSync(path.join(root, 'openwrt/net/cosip/files/cosip.config'), a.settings);
	await on('overview', page =>
		sees(page, '[data-part=service]', /CoSIP is off.*Add your provider/s)
	);
	await on('settings', async page => {
		const shown = await page
			.locator('[data-tab="adapter"] [data-field$=".enabled"] input[type=checkbox]')
			.isChecked();

		assert.equal(shown, false);
	});
});
