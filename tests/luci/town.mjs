// The town that the pages show, the web server of its first router, and a browser.

import assert from 'node:assert/strict';
import fs from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { Phone, Provider, Router, provider, until } from './scene.mjs';
import { Server } from './stub/server.mjs';
import { Uci } from './stub/uci.mjs';

export const root = fileURLToPath(new URL('../..', import.meta.url));
export const { SHOTS: shots, LUCI_BASE: luciBase } = process.env;
export const password = 'a password that nobody may see';
export const ha1 = '00112233445566778899aabbccddeeff';
export const phones = 32;

const { COSIP: cosip, CHROMIUM: browserPath, SCRATCH: scratch } = process.env;
const { chromium } = createRequire(path.join(root, 'target/tools/luci/package.json'))(
	'playwright-core'
);
const serverAddress = '127.63.1.1';
const accounts = `config account
	option aor 'sip:carol@example.net'
	option password '${password}'

config account
	option aor 'sip:dave@example.net'
	option ha1 '${ha1}'
`;

/* The folders are new for each town: files of tests may follow each other. */
const folder = fs.mkdtempSync(path.join(scratch, 'town-'));
const server = new Provider(serverAddress);
const b = new Router(cosip, path.join(folder, 'b'), 2, '127.62.1.1');

export const a = new Router(cosip, path.join(folder, 'a'), 1);
export const web = new Server(a.plugin, new Uci(a.settings, () => a.run('reload')), luciBase);

let browser;

/** Two routers, 33 phones, three calls, and a server that was silent for a while; the secret. */
export async function build() {
	await server.start();
	[a, b].forEach(router =>
		router.configure('cooperative', `${provider(serverAddress)}\n${accounts}`)
	);

	const { secret } = a.ask('new_secret');

	b.ask('set_secret', { secret });
	[a, b].forEach(router => router.run('restart'));
	await until('two routers', () => [a, b].every(router => router.ask('status').running));

	const crowd = Array.from(
		{ length: phones },
		(_unused, at) => new Phone(at ? `phone${at}` : 'alice', `127.61.1.${10 + at}`, a.lan)
	);
	const bob = new Phone('bob', '127.61.2.10', b.lan);

	await Promise.all([...crowd, bob].map(phone => phone.start()));

	const [alice, other] = crowd;

	await alice.call('voicemail', 'by-server');
	alice.inside('BYE');
	await until('the end of a call', () => !a.ask('status').calls.length);
	await until(
		'the other router',
		() => (a.lookup('sip:bob@example.net') ?? []).length
	);
	server.silent = true;
	await alice.call('bob', 'by-overlay');
	await until('a verdict', () => a.ask('status').servers[0].state == 'down');
	server.silent = false;
	await until('a recovery', () => a.ask('status').servers[0].state == 'up');
	await other.call('voicemail', 'and-again');

	await web.start();
	web.hurry = 8;
	browser = await chromium.launch({
		executablePath: browserPath,
		args: ['--no-sandbox', '--disable-dev-shm-usage']
	});

	return secret;
}

/** Ends everything, and keeps what the program said last to each question. */
export async function tearDown() {
	try {
		await browser?.close();
		web.stop();
		[a, b].forEach(router => router.run('stop'));
		fs.writeFileSync(
			path.join(scratch, 'recorded.json'),
			JSON.stringify(web.recorded, null, '\t')
		);
	} finally {
		/* Sockets keep this program, also those of a town that was never built whole. */
		setImmediate(() => process.exit());
	}
}

/** Has the daemon refuse its settings, which both pages say; returns those that it took before. */
export async function refuse() {
	const good = fs.readFileSync(a.settings, 'utf8');

	fs.writeFileSync(a.settings, good.replace("sip_port '5066'", "sip_port '70000'"));
	a.run('reload');

	for (const name of ['overview', 'settings'])
		await on(name, page =>
			sees(
				page,
				'#view',
				/line \d+: “70000” is not allowed here: sip_port is a number from 1 to 65535/
			)
		);

	return good;
}

/** Opens a page and hands it to `use`; whatever it complains of fails the test. */
export async function on(
	name,
	use,
	{ width = 1100, height = 900, groups = ['read', 'write'], language = {} } = {}
) {
	const context = await browser.newContext({ viewport: { width, height } });
	const page = await context.newPage();
	const complaints = [];

	Object.assign(web, { groups, language });
	page.on('pageerror', error => complaints.push(error.message));
	page.on('console', message => message.type() == 'error' && complaints.push(message.text()));
	page.on('response', response => response.status() >= 400 && complaints.push(response.url()));
	await page.addInitScript(() => {
		window.hits = 0;
		window.hit = () => ++window.hits;
	});
	page.setDefaultTimeout(10000);

	try {
		await page.goto(`${web.base}/cgi-bin/luci/admin/services/cosip/${name}`);
		await until(
			'the page',
			() =>
				complaints.length ||
				page.locator('body[data-ready=yes] #view:not(:has(> .spinning))').count()
		);
		await use(page);
		assert.equal(await page.evaluate(() => window.hits), 0, 'a text from the network ran');
		assert.deepEqual(complaints, []);
	} finally {
		await context.close();
	}
}

export const textOf = (page, selector) => page.locator(selector).innerText();

export async function sees(page, selector, pattern) {
	await until(`${pattern} in ${selector}`, async () =>
		pattern.test(await textOf(page, selector))
	);
}
