// js_prelude.js - the world an expression lives in: helper functions, nothing that is not pure, everything frozen.
// Runs once per context, before eval is switched off; called with the text that stands for NaN in our JSON. Answers
// [revive, forget]: JSON text with such NaNs to value; drop what the engine remembers of the last match.
(function (nanMark) {
    'use strict';

    const { freeze, getPrototypeOf, getOwnPropertyDescriptor, defineProperty, keys, values, hasOwn } = Object;
    const { ownKeys } = Reflect;
    const letters = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789';
    const base64 = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/';
    const base64Values = new Map(Array.from(base64, (c, i) => [c, i]));
    const months = ['January', 'February', 'March', 'April', 'May', 'June', 'July', 'August', 'September', 'October',
        'November', 'December'];
    const days = ['Sunday', 'Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday'];

    const two = (n) => String(n).padStart(2, '0');
    const joined = (list, join) => (join === undefined ? list : list.join(join));

    function utf8(text) {
        const bytes = [];
        for (const c of String(text)) {
            let cp = c.codePointAt(0);
            if (cp >= 0xd800 && cp <= 0xdfff)
                cp = 0xfffd;
            if (cp < 0x80)
                bytes.push(cp);
            else if (cp < 0x800)
                bytes.push(0xc0 | (cp >> 6), 0x80 | (cp & 63));
            else if (cp < 0x10000)
                bytes.push(0xe0 | (cp >> 12), 0x80 | ((cp >> 6) & 63), 0x80 | (cp & 63));
            else
                bytes.push(0xf0 | (cp >> 18), 0x80 | ((cp >> 12) & 63), 0x80 | ((cp >> 6) & 63), 0x80 | (cp & 63));
        }
        return bytes;
    }

    function zone(date, colon) {
        const minutes = -date.getTimezoneOffset();
        const size = Math.abs(minutes);
        return (minutes < 0 ? '-' : '+') + two(Math.floor(size / 60)) + colon + two(size % 60);
    }

    const parts = {
        YYYY: (d) => String(d.getFullYear()).padStart(4, '0'), YY: (d) => two(d.getFullYear() % 100),
        MMMM: (d) => months[d.getMonth()], MMM: (d) => months[d.getMonth()].slice(0, 3),
        MM: (d) => two(d.getMonth() + 1), M: (d) => d.getMonth() + 1, DD: (d) => two(d.getDate()), D: (d) => d.getDate(),
        dddd: (d) => days[d.getDay()], ddd: (d) => days[d.getDay()].slice(0, 3), dd: (d) => days[d.getDay()].slice(0, 2),
        d: (d) => d.getDay(), HH: (d) => two(d.getHours()), H: (d) => d.getHours(),
        hh: (d) => two(d.getHours() % 12 || 12), h: (d) => d.getHours() % 12 || 12, mm: (d) => two(d.getMinutes()),
        m: (d) => d.getMinutes(), ss: (d) => two(d.getSeconds()), s: (d) => d.getSeconds(),
        SSS: (d) => String(d.getMilliseconds()).padStart(3, '0'), A: (d) => (d.getHours() < 12 ? 'AM' : 'PM'),
        a: (d) => (d.getHours() < 12 ? 'am' : 'pm'), ZZ: (d) => zone(d, ''), Z: (d) => zone(d, ':'),
    };

    const helpers = {
        _keys: (object, join) => joined(keys(object), join),
        _keysReplace(object, join, mark) {
            if (object === undefined || join === undefined || mark === undefined)
                return object;
            const pattern = new RegExp(mark, 'g');
            return keys(object).map((key, i) => (key + join).replace(pattern, () => String(i + 1)));
        },
        _values: (object, join) => joined(values(object), join),
        _repeat(value, count, mark) {
            const list = [];
            for (let i = 1; i <= count; i++)
                list.push(typeof value === 'string' && mark !== undefined ? value.replace(mark, () => String(i)) : value);
            return list;
        },
        _length: (x) => (typeof x === 'string' ? x.length : typeof x === 'number' ? x : keys(x).length),
        _extract(object, list) {
            const found = {};
            for (const key of list) {
                if (hasOwn(object, key))
                    defineProperty(found, key, { value: object[key], writable: true, enumerable: true, configurable: true });
            }
            return found;
        },
        _extractValues: (object, list) => list.map((key) => object[key]),
        _randomInt(min, max) {
            const low = Math.ceil(Number(min)), high = Math.floor(Number(max));
            return min != null && max != null && low < high ? low + Math.floor(Math.random() * (high - low)) : 0;
        },
        _randomFloat: (min, max, decimals = 2) => (Number(min) + Math.random() * (max - min)).toFixed(decimals),
        _randomString(n) {
            let text = '';
            for (let i = 0; i < n; i++)
                text += letters[Math.floor(Math.random() * letters.length)];
            return text;
        },
        _now(format = 'DD/MM/YYYY HH:mm:ss') {
            const date = new Date();
            return String(format).replace(/\[([^\]]*)\]|YYYY|YY|M{1,4}|DD?|d{1,4}|HH?|hh?|mm?|ss?|SSS|ZZ?|A|a/g,
                (part, literal) => (literal === undefined ? parts[part](date) : literal));
        },
        btoa(text) {
            const bytes = utf8(text);
            let out = '';
            for (let i = 0; i < bytes.length; i += 3) {
                const word = (bytes[i] << 16) | ((bytes[i + 1] || 0) << 8) | (bytes[i + 2] || 0);
                out += base64[word >> 18] + base64[(word >> 12) & 63] +
                    (i + 1 < bytes.length ? base64[(word >> 6) & 63] : '=') + (i + 2 < bytes.length ? base64[word & 63] : '=');
            }
            return out;
        },
        atob(text) {
            const digits = String(text).replace(/[\t\n\f\r ]+/g, '').replace(/={1,2}$/, '');
            let out = '', word = 0, bits = 0;
            if (digits.length % 4 === 1)
                throw new TypeError('atob: the text is not base64');
            for (const c of digits) {
                if (!base64Values.has(c))
                    throw new TypeError('atob: the text is not base64');
                word = ((word << 6) | base64Values.get(c)) & 0xffffff;
                bits += 6;
                if (bits >= 8) {
                    bits -= 8;
                    out += String.fromCharCode((word >> bits) & 255);
                }
            }
            return out;
        },
    };

    // Clocks that wait, jobs that run after the evaluation, what depends on the collector, what writes somewhere.
    for (const name of ['Promise', 'Atomics', 'SharedArrayBuffer', 'WeakRef', 'FinalizationRegistry', 'WebAssembly', 'console',
        'ShadowRealm', 'gc', '$vm'])
        delete globalThis[name];
    delete Array.fromAsync;
    for (const name of keys(helpers))
        defineProperty(globalThis, name, { value: helpers[name] });

    // Names that data may have as well: an assignment to an object of the expression's own must still make a property,
    // although the inherited one is frozen.
    function yieldToOwn(object, name) {
        const value = object[name];
        defineProperty(object, name, {
            get: () => value,
            set(own) {
                if (this === object || this === null || typeof this !== 'object')
                    throw new TypeError('built-in objects cannot be changed');
                defineProperty(this, name, { value: own, writable: true, enumerable: true, configurable: true });
            },
        });
    }
    for (const name of ['constructor', 'toString', 'valueOf', 'toLocaleString', 'hasOwnProperty'])
        yieldToOwn(Object.prototype, name);
    for (const name of ['name', 'message', 'toString'])
        yieldToOwn(Error.prototype, name);

    // Everything that can be reached is frozen, so that no evaluation leaves anything behind for the next.
    const generator = getPrototypeOf(function* () {});
    const asyncs = [getPrototypeOf(async function () {}), getPrototypeOf(async function* () {})];
    const hidden = [generator, ...asyncs, ''[Symbol.iterator](), [][Symbol.iterator](), new Map()[Symbol.iterator](),
        new Set()[Symbol.iterator](), ''.matchAll(/x/g), [].values().map((x) => x), Iterator.from({ next() {} }),
        getPrototypeOf(Uint8Array), getPrototypeOf((async () => {})())];
    const seen = new Set(), queue = [globalThis, ...hidden];
    while (queue.length) {
        const object = queue.pop();
        if (object === null || (typeof object !== 'object' && typeof object !== 'function') || seen.has(object))
            continue;
        seen.add(object);
        queue.push(getPrototypeOf(object));
        for (const key of ownKeys(object)) {
            if (typeof object === 'function' && (key === 'name' || key === 'length'))
                continue;
            const property = getOwnPropertyDescriptor(object, key);
            if (property.get || property.set)
                queue.push(property.get, property.set);
            else
                queue.push(property.value);
        }
    }
    const promise = getPrototypeOf((async () => {})());
    for (const name of ['then', 'catch', 'finally'])
        delete promise[name];
    for (const object of seen)
        freeze(object);

    const parse = JSON.parse;
    const revive = (text) => parse(text, (key, value) => (value === nanMark ? NaN : value));
    const forget = () => {
        /^/.test('');
    };
    return [revive, forget];
});
