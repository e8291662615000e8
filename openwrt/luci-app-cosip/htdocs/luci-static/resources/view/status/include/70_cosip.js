'use strict';
'require baseclass';
'require cosip.status as cosip';

return baseclass.extend({
	title: _('Phone service'),

	load() {
		return Promise.all([
			L.resolveDefault(cosip.status(), null),
			L.resolveDefault(cosip.config(), null)
		]);
	},

	render([status, config]) {
		const rows = [];

		if (!status) return null;

		const [level, sentence] = cosip.verdict(status, config);

		if (status.running) {
			for (const server of status.servers)
				rows.push([server.domain, cosip.state(server.state)[0]]);

			rows.push([_('Phones'), status.phones.filter(p => p.registered).length]);
			rows.push([_('Running calls'), status.calls.length]);
		}

		return E('div', {}, [
			cosip.style(),
			E('p', { class: 'cosip-verdict', 'data-level': level }, [
				sentence,
				' ',
				E('a', { href: L.url('admin/services/cosip/overview') }, [_('Details')])
			]),
			E(
				'table',
				{ class: 'table' },
				rows.map(([name, value]) =>
					E('tr', { class: 'tr' }, [
						E('td', { class: 'td left', width: '33%' }, [name]),
						E('td', { class: 'td left' }, [String(value)])
					])
				)
			)
		]);
	}
});
