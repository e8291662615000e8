// What LuCI's build does to scripts, after Crockford's description of JSMin: comments go, and space
// goes but for one between words and one line feed where a statement might end. It is no parser: a
// `/` begins a pattern only after one of a few characters, and elsewhere divides. So what it breaks
// here it breaks there.

const isWord = c => /[A-Za-z0-9_$\\]/.test(c) || c > '~';
const beforePattern = new Set('(,=:[!&|?+-~*/{}\n;');

/** Text without comments, where each line end is one and other space is plain. */
class Reader {
	constructor(source) {
		Object.assign(this, {
			source: source.replaceAll('\r\n', '\n').replaceAll('\r', '\n'),
			at: 0
		});
	}

	peek() {
		return this.source[this.at] ?? '';
	}

	raw() {
		return this.source[this.at++] ?? '';
	}

	/** The next character; a comment is a space, or the line feed at its end. */
	next() {
		const c = this.raw();

		if (c == '/' && this.peek() == '/') {
			while (this.peek() && this.peek() != '\n') this.at++;

			return this.raw();
		}

		if (c == '/' && this.peek() == '*') {
			this.at = this.source.indexOf('*/', this.at + 1) + 2;

			return ' ';
		}

		return c == '\n' || c == '' || c > ' ' ? c : ' ';
	}

	/** What follows `quote` up to its end, as it stands. */
	quoted(quote) {
		let text = '';
		let inClass = false;

		for (;;) {
			const c = this.raw();

			if (c == '') throw new Error(`no end of ${quote}`);

			text += c;

			if (c == '\\') text += this.raw();
			else if (quote == '/' && (c == '[' || c == ']')) inClass = c == '[';
			else if (c == quote && !inClass) return text;
		}
	}
}

/** `source` as small as JSMin makes it. */
export function minify(source) {
	const reader = new Reader(source);
	let out = '';
	let space = '';

	for (let c = reader.next(); c != ''; c = reader.next()) {
		if (c == ' ' || c == '\n') {
			space = c == '\n' || space == '\n' ? '\n' : ' ';
			continue;
		}

		const last = out.at(-1) ?? '\n';

		if (space == ' ' && isWord(last) && isWord(c)) out += ' ';
		else if (space == ' ' && (last == '+' || last == '-') && last == c) out += ' ';
		else if (
			space == '\n' &&
			(isWord(last) || '}])+-"\'`'.includes(last)) &&
			(isWord(c) || '{[(+-!~'.includes(c))
		)
			out += '\n';

		space = '';

		const pattern = c == '/' && beforePattern.has(out.at(-1) ?? '\n');

		out += c;

		if ('"\'`'.includes(c) || pattern) out += reader.quoted(c);
	}

	return out;
}
