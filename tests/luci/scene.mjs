// A small town on the loopback interface: two routers that run the program, a provider's server
// that can fall silent, and phones that register and call. It is there so that the pages have
// something true to show.

import { execFileSync } from 'node:child_process';
import dgram from 'node:dgram';
import fs from 'node:fs';
import path from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';

export const domain = 'example.net';

/** What comes from the network and would run, were it taken for HTML. */
export const hostile = '<img src=x onerror=hit()>';

/* A recovery takes three probes, five seconds apart, where nothing else is done. */
const patience = 60000;

/** Asks `look` again and again until it has something. */
export async function until(what, look) {
	const end = Date.now() + patience;

	for (;;) {
		const found = await look();

		if (found) return found;

		if (Date.now() > end) throw new Error(`waited in vain for ${what}`);

		await pause(50);
	}
}

function socket(address, port, hear) {
	const made = dgram.createSocket('udp4');

	made.on('message', (data, from) => hear(data.toString(), from));

	return new Promise((resolve, reject) => {
		made.on('error', reject);
		made.bind(port, address, () => resolve(made));
	});
}

const header = (message, name) => message.match(new RegExp(`^${name}: *(.*)\r$`, 'im'))?.[1];
const headers = (message, name) =>
	[...message.matchAll(new RegExp(`^${name}: *(.*)\r$`, 'gim'))].map(([line]) => line.trim());

/** A response to `request`, tagged, with more headers and a description of media. */
function response(request, status, more, media) {
	const body = media ? description(media) : '';
	const to = header(request, 'To');

	return [
		`SIP/2.0 ${status}`,
		...headers(request, 'Via'),
		...headers(request, 'Record-Route'),
		`From: ${header(request, 'From')}`,
		`To: ${to}${to.includes('tag=') ? '' : ';tag=far'}`,
		`Call-ID: ${header(request, 'Call-ID')}`,
		`CSeq: ${header(request, 'CSeq')}`,
		...more,
		...(body ? ['Content-Type: application/sdp'] : []),
		`Content-Length: ${body.length}`,
		'',
		body
	].join('\r\n');
}

function description(address) {
	return [
		'v=0',
		`o=- 1 1 IN IP4 ${address}`,
		's=-',
		`c=IN IP4 ${address}`,
		't=0 0',
		'm=audio 40000 RTP/AVP 0',
		''
	].join('\r\n');
}

/** The provider: it takes every registration and answers every call itself, until it is silent. */
export class Provider {
	constructor(address) {
		Object.assign(this, { address, silent: false, reason: `OK ${hostile}` });
	}

	async start() {
		this.socket = await socket(this.address, 5060, (message, from) => this.hear(message, from));
	}

	hear(message, from) {
		if (
			this.silent ||
			message.startsWith('SIP/2.0') ||
			message.startsWith('ACK') ||
			!message.trim()
		)
			return;

		const contact = header(message, 'Contact');
		const more = message.startsWith('REGISTER')
			? [`Contact: ${contact};expires=600`]
			: [`Contact: <sip:server@${this.address}>`];
		const status = message.startsWith('INVITE') ? `200 ${this.reason}` : '200 OK';

		this.socket.send(
			response(message, status, more, message.startsWith('INVITE') ? this.address : null),
			from.port,
			from.address
		);
	}
}

/** A phone: it registers, calls, and answers whoever calls it. */
export class Phone {
	constructor(name, address, router) {
		Object.assign(this, { name, address, router, count: 0, heard: [] });
	}

	async start() {
		this.socket = await socket(this.address, 5060, (message, from) => {
			this.heard.push(message);

			if (message.startsWith('INVITE') || message.startsWith('BYE'))
				this.socket.send(
					response(
						message,
						'200 OK',
						[`Contact: <sip:${this.name}@${this.address}:5060>`],
						message.startsWith('INVITE') ? this.address : null
					),
					from.port,
					from.address
				);
		});
		await until(`registration of ${this.name}`, async () => {
			this.request('REGISTER', `sip:${domain}`, this.name, `register-${this.name}`, [
				'Expires: 600'
			]);
			await pause(100);

			return this.answered(`register-${this.name}`);
		});
	}

	answered(call) {
		return this.heard.find(
			message => message.startsWith('SIP/2.0 200') && header(message, 'Call-ID') == call
		);
	}

	request(method, uri, to, call, more, body, toTag) {
		const lines = [
			`${method} ${uri} SIP/2.0`,
			`Via: SIP/2.0/UDP ${this.address}:5060;branch=z9hG4bK${++this.count}x${this.name}`,
			'Max-Forwards: 70',
			`From: "${hostile}" <sip:${this.name}@${domain}>;tag=${this.name}`,
			`To: <sip:${to}@${domain}>${toTag ?? ''}`,
			`Call-ID: ${call}`,
			`CSeq: ${method == 'ACK' ? this.invited : this.count} ${method}`,
			`Contact: <sip:${this.name}@${this.address}:5060>`,
			...(more ?? []),
			...(body ? ['Content-Type: application/sdp'] : []),
			`Content-Length: ${body?.length ?? 0}`,
			'',
			body ?? ''
		];

		if (method == 'INVITE') this.invited = this.count;

		this.socket.send(lines.join('\r\n'), 5060, this.router);
	}

	/** Calls `to` and waits for the answer. */
	async call(to, name) {
		this.request('INVITE', `sip:${to}@${domain}`, to, name, [], description(this.address));

		const answer = await until(`an answer to ${name}`, () => this.answered(name));

		this.dialog = {
			to,
			name,
			tag: `;tag=${header(answer, 'To').split('tag=')[1]}`,
			uri: header(answer, 'Contact').match(/<([^>]*)>/)[1],
			routes: headers(answer, 'Record-Route')
				.map(route => route.replace(/^Record-Route/i, 'Route'))
				.reverse()
		};
		this.inside('ACK');
	}

	inside(method) {
		const { to, name, tag, uri, routes } = this.dialog;

		this.request(method, uri, to, name, routes, null, tag);
	}
}

/** A router with the program on it, and an init script as short as can be. */
export class Router {
	constructor(cosip, folder, number, seed) {
		const [lan, wan] = [`127.61.${number}.1`, `127.62.${number}.1`];

		Object.assign(this, { cosip, folder, lan, wan, seed });
		this.settings = path.join(folder, 'config');
		this.state = path.join(folder, 'state');
		this.service = path.join(folder, 'init');
		fs.mkdirSync(folder, { recursive: true });
		this.places = [
			'-c',
			this.settings,
			'--state',
			this.state,
			'--run',
			path.join(folder, 'run')
		];
		fs.writeFileSync(
			this.service,
			`#!/bin/sh
			runs() { [ -e '${folder}/pid' ] && grep -q '^State:.[^Z]' "/proc/$(cat '${folder}/pid')/status" 2>/dev/null; }
			start() { '${cosip}' run ${this.places.map(word => `'${word}'`).join(' ')} >>'${folder}/log' 2>&1 & echo $! >'${folder}/pid'; }
			halt() { runs && kill "$(cat '${folder}/pid')"; while runs; do sleep 0.1; done; }
			case $1 in
			reload) if runs; then kill -HUP "$(cat '${folder}/pid')"; else start; fi ;;
			restart) halt; start ;;
			stop) halt ;;
			esac
			exit 0
		`,
			{ mode: 0o755 }
		);
	}

	get plugin() {
		return [this.cosip, ...this.places, '--service', this.service];
	}

	configure(mode, more) {
		fs.writeFileSync(
			this.settings,
			`config adapter 'adapter'
	option enabled '1'
	option mode '${mode}'
	list lan '${this.lan}'
	list wan '${this.wan}'
	option port_mapping '0'
	option max_phones '40'

${more}
config overlay 'overlay'
	option name '${domain}'
${this.seed ? `	list bootstrap '${this.seed}:5070'\n` : ''}
config identity 'identity'

config media 'media'

config emergency 'emergency'
`,
			{ mode: 0o600 }
		);
	}

	run(action) {
		execFileSync(this.service, [action], { stdio: 'ignore' });
	}

	/** Who serves an address, as the overlay has it. */
	lookup(aor) {
		return JSON.parse(
			execFileSync(this.cosip, ['lookup', aor, '--json', ...this.places])
		).records;
	}

	ask(method, values) {
		return JSON.parse(
			execFileSync(this.plugin[0], [...this.plugin.slice(1), 'rpcd', 'call', method], {
				input: JSON.stringify(values ?? {})
			})
		);
	}
}

export function provider(address) {
	return `config provider
	option domain '${domain}'
	option server 'sip:${address};transport=udp'
	option probe_s '5'
`;
}
