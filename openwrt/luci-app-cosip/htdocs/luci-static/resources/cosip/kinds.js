'use strict';
'require baseclass';

/* What a value of each type of option looks like: the daemon's own rules, so that a mistake shows
 * beside the field and not after Apply only. */

/* Patterns stand behind `=`: minifiers take `/` after `=>` or `return` for a division. */
const graphic = /^[!-~]+$/;
const control = /[\u0000-\u001f\u007f-\u009f]/;
const octet = /^(0|[1-9][0-9]{0,2})$/;
const hexGroup = /^[0-9a-fA-F]{1,4}$/;
const hostLabel = /^[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?$/;
const digitsAndDots = /^[0-9.]*$/;
const bracketed = /^\[([^\]]*)\](.*)$/;
const someDigits = /^[0-9]+$/;
const prefixLength = /^\+?[0-9]+$/;
const sipScheme = /^sip:/i;
const telScheme = /^tel:/i;
const telNumber = /^[+0-9*#.()-]+$/;
const serverParameter = /^(lr|transport=udp|transport=tcp)$/i;
const routeUser = /^[A-Za-z0-9_.!~*'()&=+$,%-]{1,64}$/;
const notInUris = /[<>"\\]/;
const brackets = /^\[(.*)\]$/;
const flag = /^(0|1|on|off|true|false|yes|no|enabled|disabled)$/;
const number = /^[0-9]{1,9}$/;
const fewDigits = /^[0-9]{0,8}$/;
const dialled = /^[A-Za-z0-9*#+_.-]{1,32}$/;
const spacedNumber = /^\+?[ ()./-]*[0-9][0-9 ()./-]*$/;
const hexDigits = /^[0-9a-fA-F]+$/;

function bytes(text) {
	return new TextEncoder().encode(text).length;
}

function isIPv4(text) {
	const parts = text.split('.');

	return parts.length == 4 && parts.every(p => octet.test(p) && +p <= 255);
}

/* The eight groups of an IPv6 address as text; null where it is none. */
function groupsOf(text) {
	const halves = text.split('::').map(half => (half == '' ? [] : half.split(':')));
	const last = halves.at(-1);

	if (last.at(-1)?.includes('.')) {
		const parts = last.pop().split('.');

		if (!isIPv4(parts.join('.'))) return null;

		const pair = at => ((+parts[at] << 8) + +parts[at + 1]).toString(16);

		last.push(pair(0), pair(2));
	}

	const zeros = 8 - halves.flat().length;

	if (halves.length > 2 || (halves.length == 2 ? zeros < 1 : zeros != 0)) return null;

	const groups = [...halves[0], ...Array(zeros).fill('0'), ...(halves[1] ?? [])];

	return groups.every(g => hexGroup.test(g)) ? groups : null;
}

function isAddress(text) {
	return isIPv4(text) || groupsOf(text) != null;
}

function isHost(text) {
	if (isAddress(text)) return true;

	return (
		text.length <= 253 &&
		!digitsAndDots.test(text) &&
		text.split('.').every(l => hostLabel.test(l))
	);
}

/* The port of HOST, HOST:PORT or [ADDRESS]:PORT as text, '' for none; null where it is neither. */
function portOf(text) {
	const end = text.indexOf(':');
	let host = end < 0 ? text : text.slice(0, end);
	let rest = end < 0 ? '' : text.slice(end);

	if (text.startsWith('[')) {
		const parts = text.match(bracketed);

		if (!parts || groupsOf(parts[1]) == null) return null;

		host = parts[1];
		rest = parts[2];
	}

	const port = rest.slice(1);

	if (!isHost(host)) return null;

	if (rest == '') return '';

	return rest.startsWith(':') && someDigits.test(port) && +port >= 1 && +port <= 65535
		? port
		: null;
}

function isServer(text) {
	const [place, ...parameters] = text.slice(4).split(';');

	return (
		sipScheme.test(text) &&
		portOf(place) != null &&
		parameters.every(p => serverParameter.test(p))
	);
}

function isRoute(text) {
	const rest = text.slice(4);
	const at = rest.lastIndexOf('@');

	if (at >= 0 && !routeUser.test(rest.slice(0, at))) return false;

	return isServer(text.slice(0, 4) + rest.slice(at + 1));
}

function isNet(text) {
	const [address, ...prefix] = text.split('/');
	const groups = groupsOf(address);

	if (prefix.length > 1 || !(groups || isIPv4(address))) return false;

	/* The daemon takes a mapped address for the IPv4 address that it is. */
	const mapped =
		groups
			?.slice(0, 6)
			.map(g => parseInt(g, 16))
			.join() == '0,0,0,0,0,65535';
	const max = groups && !mapped ? 128 : 32;

	return prefix.length == 0 || (prefixLength.test(prefix[0]) && +prefix[0] <= max);
}

function isAor(text) {
	const rest = text.slice(4);
	const at = rest.indexOf('@');

	if (!graphic.test(text) || notInUris.test(text) || text.length > 256) return false;

	if (telScheme.test(text)) return telNumber.test(rest);

	return sipScheme.test(text) && at > 0 && isHost(rest.slice(at + 1).replace(brackets, '$1'));
}

function isBlocked(text) {
	if (isAor(text) || (text.length <= 32 && spacedNumber.test(text))) return true;

	return isHost(text) && !text.includes(':');
}

const takes = {
	flag: text => flag.test(text),
	number: (text, row) => number.test(text) && +text >= row.min && +text <= row.max,
	choice: (text, row) => row.values.includes(text),
	address: text => text == '' || isAddress(text),
	host: isHost,
	net: isNet,
	server: text => text == '' || isServer(text),
	route: isRoute,
	hostport: text => !!portOf(text),
	network: text => graphic.test(text) && text.length <= 64,
	digits: text => fewDigits.test(text),
	dialled: text => dialled.test(text),
	aor: isAor,
	blocked: isBlocked,
	text: text => bytes(text) <= 128 && !control.test(text),
	file: text => text != '' && bytes(text) <= 256 && !control.test(text),
	password: text => text != '' && bytes(text) <= 256 && !control.test(text),
	hex: (text, row) => text.length == row.digits && hexDigits.test(text),
	publickey: text => text.length == 64 && hexDigits.test(text)
};

return baseclass.extend({
	/* Whether `text` is a value of the option `row`. */
	takes(row, text) {
		return takes[row.type](text, row);
	},

	/* What is allowed, for a person. */
	allowed(row) {
		switch (row.type) {
			case 'flag':
				return _('0 or 1');
			case 'number':
				return _('a whole number from %d to %d').format(row.min, row.max);
			case 'choice':
				return _('one of: %s').format(row.values.join(', '));
			case 'address':
				return _('an IPv4 or IPv6 address');
			case 'host':
				return _('a host name or an address, without port');
			case 'net':
				return _('an address, or an address with a prefix such as 192.0.2.0/24');
			case 'server':
				return _('a URI such as sip:sip.example.net or sip:192.0.2.1:5060;transport=udp');
			case 'route':
				return _('a URI such as sip:gateway.example.net or sip:112@192.0.2.1');
			case 'hostport':
				return _('a host with its port, such as seed.example.net:5070');
			case 'network':
				return _('an OpenWrt network, a device or an address');
			case 'digits':
				return _('at most 8 digits');
			case 'dialled':
				return _('1 to 32 letters, digits or any of * # + - _ .');
			case 'aor':
				return _('sip:USER@DOMAIN or tel:NUMBER');
			case 'blocked':
				return _('sip:USER@DOMAIN, a number, a domain or the id of a router');
			case 'text':
				return _('at most 128 characters');
			case 'hex':
				return _('%d hexadecimal digits').format(row.digits);
			case 'publickey':
				return _('%d hexadecimal digits').format(64);
			default:
				return _('1 to 256 characters');
		}
	}
});
