'use strict';
'require baseclass';
'require cosip.status as cosip';

/* What is more than a sentence: a server's last hours, a call's messages, a table. */

function svg(name, attributes, children) {
	const node = document.createElementNS('http://www.w3.org/2000/svg', name);

	for (const [key, value] of Object.entries(attributes ?? {})) node.setAttribute(key, value);

	for (const child of children ?? []) node.append(child);

	return node;
}

/* The last hours of a server, as a bar of stretches in the colours of its states. */
function timeline(server, uptime, hours) {
	const [width, height, span] = [600, 18, hours * 3600];
	const x = ago => width - (Math.min(ago, span) / span) * width;
	const known = Math.min(uptime, span);
	const changes = server.history.map(change => ({
		state: change.state,
		ago: change.ago_s,
		reason: change.reason
	}));
	const stretches = changes.map((change, at) => ({
		state: change.state,
		from: Math.min(change.ago, known),
		to: changes[at + 1]?.ago ?? 0,
		reason: change.reason
	}));
	const oldest = changes.length ? changes[0].ago : 0;

	/* Before the oldest change that is remembered the state was another one, or not known. */
	if (!changes.length)
		stretches.push({ state: server.state, from: known, to: 0, reason: server.reason });

	stretches.unshift({
		state: 'unknown',
		from: span,
		to: changes.length ? Math.min(oldest, span) : known,
		reason: ''
	});

	/* What is so now is shown, though it has begun this very second. */
	const shown = stretches.filter(s => s.to < span && (s.from > s.to || !s.to));
	const text = shown.map(s => {
		const name = cosip.state(s.state)[0];

		return s.to
			? _('%s until %s ago').format(name, cosip.duration(s.to))
			: _('%s now').format(name);
	});
	const label = _('The last %d hours: %s').format(hours, text.join(', '));
	const hour = at =>
		svg('line', {
			x1: (at / hours) * width,
			x2: (at / hours) * width,
			y1: 0,
			y2: height,
			stroke: 'currentColor',
			'stroke-opacity': 0.4
		});

	return svg(
		'svg',
		{
			class: 'cosip-timeline',
			viewBox: '0 0 %d %d'.format(width, height),
			preserveAspectRatio: 'none',
			role: 'img',
			'aria-label': label
		},
		[
			...shown.map(s => {
				const w = Math.max(x(s.to) - x(s.from), 2);
				const [name, colour, share] = cosip.state(s.state);
				const title = svg('title', {}, [
					s.reason ? '%s: %s'.format(name, cosip.word(s.reason)) : name
				]);

				return svg(
					'rect',
					{
						x: x(s.from),
						y: height * (1 - share),
						width: w,
						height: height * share,
						fill: colour,
						'data-state': s.state
					},
					[title]
				);
			}),
			...Array.from({ length: hours - 1 }, (_unused, at) => hour(at + 1))
		]
	);
}

/* The messages of one call, from column to column as they went. */
function ladder(trace) {
	const lanes = ['phone', 'adapter', 'server', 'peer'];
	const [left, gap, row, top] = [70, 170, 22, 34];
	const x = lane => left + 60 + lanes.indexOf(lane) * gap;
	const [width, height] = [x('peer') + 90, top + row * (trace.entries.length + 1)];
	const text = (tx, ty, anchor, content) =>
		svg(
			'text',
			{
				x: tx,
				y: ty,
				'text-anchor': anchor,
				'font-size': 12,
				fill: 'currentColor'
			},
			[content]
		);
	const arrow = (entry, y) => {
		const [from, to] = [x(entry.from), x(entry.to)];
		const tip = to + (from < to ? -7 : 7);

		if (from == to) return [text(from + 8, y + 4, 'start', '* ' + entry.text)];

		return [
			svg('line', { x1: from, y1: y, x2: to, y2: y, stroke: 'currentColor' }),
			svg('path', {
				d: 'M%d %d L%d %d L%d %d Z'.format(to, y, tip, y - 4, tip, y + 4),
				fill: 'currentColor'
			}),
			text((from + to) / 2, y - 4, 'middle', entry.text)
		];
	};

	return svg(
		'svg',
		{
			class: 'cosip-ladder',
			viewBox: '0 0 %d %d'.format(width, height),
			width: width,
			height: height,
			role: 'img',
			'aria-label': trace.entries
				.map(e =>
					'%d ms: %s → %s: %s'.format(
						e.after_ms,
						cosip.word(e.from),
						cosip.word(e.to),
						e.text
					)
				)
				.join('\n')
		},
		[
			...lanes.map(lane =>
				svg('line', {
					x1: x(lane),
					x2: x(lane),
					y1: 20,
					y2: height,
					stroke: 'currentColor',
					'stroke-opacity': 0.3
				})
			),
			...lanes.map(lane =>
				text(x(lane), 13, 'middle', lane == 'server' ? _('server') : cosip.word(lane))
			),
			...trace.entries.flatMap((entry, at) => [
				text(left - 10, top + row * at + 4, 'end', '%d ms'.format(entry.after_ms)),
				...arrow(entry, top + row * at)
			])
		]
	);
}

function table(titles, rows, empty) {
	return E('div', { class: 'cosip-scroll' }, [
		E('table', { class: 'table' }, [
			E(
				'tr',
				{ class: 'tr table-titles' },
				titles.map(title => E('th', { class: 'th', scope: 'col' }, [title]))
			),
			...rows.map(cells =>
				E(
					'tr',
					{ class: 'tr' },
					cells.map((cell, at) =>
						E(
							'td',
							{
								class: 'td',
								'data-title': titles[at]
							},
							[cell ?? '–']
						)
					)
				)
			),
			...(rows.length
				? []
				: [
						E('tr', { class: 'tr placeholder' }, [
							E('td', { class: 'td', colspan: titles.length }, [empty])
						])
					])
		])
	]);
}

return baseclass.extend({
	ladder: ladder,
	table: table,
	timeline: timeline
});
