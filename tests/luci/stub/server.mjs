// A router's web server for the tests: the pages with our stand-in for LuCI, or with the real one,
// and ubus. What `luci.cosip` says is asked of the program itself, each time; who may ask for what
// stands in the shipped access list.

import { execFile } from 'node:child_process';
import fs from 'node:fs';
import http from 'node:http';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { app } from '../texts.mjs';

const here = fileURLToPath(new URL('.', import.meta.url));
const acl = JSON.parse(
	fs.readFileSync(path.join(app, 'root/usr/share/rpcd/acl.d/luci-app-cosip.json'))
)['luci-app-cosip'];
const [notFound, denied] = [4, 6];

/** Whether someone of these groups ('read', 'write') may do this. */
export function allowed(groups, object, method, config) {
	if (object == 'uci' && (config == null || config == 'luci')) return true;

	if (object == 'uci') {
		const right = ['get'].includes(method) ? 'read' : 'write';

		return groups.some(group => acl[group].uci?.[config]?.includes(right));
	}

	return object != 'luci.cosip' || groups.some(group => acl[group].ubus[object].includes(method));
}

export class Server {
	/** `plugin` names the program and its arguments, `uci` the settings. */
	constructor(plugin, uci, luciBase) {
		Object.assign(this, {
			plugin,
			uci,
			luciBase,
			groups: ['read', 'write'],
			asked: [],
			recorded: {},
			language: {},
			hurry: 1
		});
	}

	async start() {
		this.http = http.createServer((request, response) => this.serve(request, response));
		await new Promise(resolve => this.http.listen(0, '127.0.0.1', resolve));
		this.base = `http://127.0.0.1:${this.http.address().port}`;
	}

	stop() {
		this.http?.closeAllConnections();
		this.http?.close();
	}

	call(method, params) {
		return new Promise(resolve => {
			const child = execFile(
				this.plugin[0],
				[...this.plugin.slice(1), 'rpcd', 'call', method],
				(_error, stdout) => {
					this.recorded[method] = stdout;
					resolve(stdout ? [0, JSON.parse(stdout)] : [2]);
				}
			);

			child.stdin.on('error', () => {});
			child.stdin.end(JSON.stringify(params));
		});
	}

	async ubus({ id, method, params }) {
		if (method == 'list') return { jsonrpc: '2.0', id, result: {} };

		const [, object, name, values] = params;
		let result = [0, {}];

		this.asked.push(`${object} ${name}`);

		if (!allowed(this.groups, object, name, values.config)) result = [denied];
		else if (object == 'luci.cosip') result = await this.call(name, values);
		else if (object == 'uci' && values.config != 'luci')
			result = fs.existsSync(this.uci.file) ? [0, this.uci[name](values) ?? {}] : [notFound];
		else if (object == 'session' && name == 'access')
			result = [
				0,
				{
					access: allowed(
						this.groups,
						values.scope,
						values.function == 'read' ? 'get' : 'set',
						values.object
					)
				}
			];

		return { jsonrpc: '2.0', id, result };
	}

	async serve(request, response) {
		const { pathname } = new URL(request.url, this.base);
		const send = (type, body, status) => {
			response.writeHead(status ?? 200, {
				'Content-Type': type,
				'Cache-Control': 'no-store'
			});
			response.end(body);
		};

		if (pathname == '/ubus/') {
			let body = '';

			for await (const part of request) body += part;

			const wanted = JSON.parse(body);
			const answer = Array.isArray(wanted)
				? await Promise.all(wanted.map(one => this.ubus(one)))
				: await this.ubus(wanted);

			return send('application/json', JSON.stringify(answer));
		}

		/* The real LuCI applies through its dispatcher. */
		if (/\/admin\/uci\/(apply_rollback|confirm)$/.test(pathname)) {
			if (pathname.endsWith('apply_rollback')) this.uci.apply();

			return send('application/json', '{}');
		}

		if (pathname.startsWith('/cgi-bin/luci/'))
			return send('text/html', this.page(pathname.split('/').slice(3)));

		/* The real LuCI asks the system how the browser reaches it; this one does not know. */
		if (['/favicon.ico', '/cgi-bin/cgi-exec'].includes(pathname)) return send('text/plain', '');

		const places = [
			path.join(app, 'htdocs', pathname),
			...(this.luciBase
				? ['.', '../../themes/luci-theme-bootstrap'].map(part =>
						path.join(this.luciBase, part, 'htdocs', pathname)
					)
				: []),
			path.join(here, path.basename(pathname))
		];
		const found = places.find(place => fs.existsSync(place) && fs.statSync(place).isFile());
		const type =
			{ '.js': 'text/javascript', '.css': 'text/css', '.svg': 'image/svg+xml' }[
				path.extname(pathname)
			] ?? 'text/plain';

		send(type, found ? fs.readFileSync(found) : 'not found', found ? 200 : 404);
	}

	/** The page of a view; `status` is the overview of the router with our card. */
	page(parts) {
		const readonly = !this.groups.includes('write');
		const view = parts.at(-1) == 'status' ? null : `cosip/${parts.at(-1)}`;

		return this.luciBase ? this.realPage(view, parts, readonly) : this.stubPage(view, readonly);
	}

	stubPage(view, readonly) {
		const env = { readonly, sessionid: 'test', ubuspath: '/ubus/', hurry: this.hurry };
		const start = view
			? `L.require('view.${view.replaceAll('/', '.')}').then(view => view.appear(place))`
			: `L.require('view.status.include.70_cosip').then(card => Promise.resolve(card.load()).then(data => place.append(...[ card.render(data) ].filter(node => node))))`;

		return `<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>test</title>
			<meta name="viewport" content="width=device-width, initial-scale=1">
			<link rel="stylesheet" href="/plain.css"><script>
				window.TR = ${JSON.stringify(this.language).replaceAll('<', '\\u003c')};
				window.stubEnv = ${JSON.stringify(env)};
			</script><script src="/luci.js"></script></head>
			<body><main><div id="notes"></div><div id="view"></div><dialog id="modal"></dialog></main><script>
				const place = document.querySelector('#view');
				${start}.then(() => document.body.dataset.ready = 'yes');
			</script></body></html>`;
	}

	realPage(view, parts, readonly) {
		const env = {
			token: 'test',
			media: '/luci-static/bootstrap',
			resource: '/luci-static/resources',
			scriptname: '/cgi-bin/luci',
			pathinfo: `/${parts.join('/')}`,
			requestpath: parts,
			dispatchpath: parts,
			pollinterval: 1,
			ubuspath: '/ubus/',
			sessionid: 'test',
			nodespec: { satisfied: true, readonly },
			apply_rollback: 90,
			apply_holdoff: 1,
			apply_timeout: 5,
			apply_display: 1
		};
		const start = view
			? `L.require('ui').then(ui => ui.instantiateView('${view}'))`
			: `L.require('view.status.include.70_cosip').then(card => Promise.resolve(card.load()).then(data => document.querySelector('#view').replaceChildren(card.render(data))))`;

		return `<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>test</title>
			<meta name="viewport" content="width=device-width, initial-scale=1">
			<link rel="stylesheet" href="/luci-static/bootstrap/cascade.css">
			<link rel="stylesheet" media="only screen and (max-device-width: 854px)" href="/luci-static/bootstrap/mobile.css">
			<script>window.TR = {};</script><script src="/luci-static/resources/cbi.js"></script></head>
			<body class="lang_en"><header><a class="brand" href="/">router</a><div id="indicators"></div></header>
			<div id="maincontent" class="container"><div id="tabmenu" style="display:none"></div>
			<script src="/luci-static/resources/luci.js"></script><script>L = new LuCI(${JSON.stringify(env)});</script>
			<div id="view"><div class="spinning">…</div><script>${start}.then(() => document.body.dataset.ready = 'yes');</script></div>
			</div></body></html>`;
	}
}
