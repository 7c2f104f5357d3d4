/**
 * Text cleaning against ftfy 6.3.1.
 *
 * fixtures/tokenizer/ftfy-6.3.1.json.gz holds pairs [text, ftfy.fix_text(text)]: 1,500 texts that ftfy changes, out of 20,000 joined at random
 * from words of many scripts misread one to three times in the encodings that ftfy knows (with lost and replaced bytes, and CESU-8), from the
 * characters that occur in mojibake, HTML references, control characters, quotes, ligatures and any code points. The whole 20,000 agreed.
 */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { gunzipSync } from 'fflate';
import { fixText } from '../../src/tokenizer/fix-text.ts';
import { unescapeHtml, unescapeTerminatedHtml } from '../../src/tokenizer/html-entities.ts';
import { assertWithin } from '../parity.ts';
import { reference } from '../reference.ts';

test('the recorded texts', () => {
  const rows = JSON.parse(
    new TextDecoder().decode(gunzipSync(readFileSync(reference('tokenizer/ftfy-6.3.1.json.gz')))),
  ) as [string, string][];
  const differing = rows.filter(([text, fixed]) => fixText(text) !== fixed);
  assertWithin({
    part: 'tokenizer',
    case: 'ftfy-6.3.1',
    output: 'text',
    reference: 'ftfy 6.3.1 fix_text',
    error: differing.length,
    tolerance: 0,
  });
});

test('each rule', () => {
  const cases: [string, string, string][] = [
    ['mojibake', 'schÃ¶n â€™ Ã la mode', "schön ' à la mode"],
    [
      'mojibake twice',
      'l\u00c3\u00a2\u00e2\u201a\u00ac\u00e2\u201e\u00a2\u00c3\u0192\u00c2\u00a9t\u00c3\u0192\u00c2\u00a9',
      "l'été",
    ],
    ['a lost byte', 'â€œquoteâ€\ufffd', '"quote\ufffd'],
    ['CESU-8', '\u00ed\u00a0\u00bd\u00ed\u00b8\u0080', '😀'],
    ['no mojibake', 'Ünïcödé façade, Århus, 10 €', 'Ünïcödé façade, Århus, 10 €'],
    ['entities', '&eacute; &NTILDE; &amp;amp;lt;', 'é Ñ <'],
    ['entities are kept from the first tag on', '&amp;\n<b>&amp;\n&amp;', '&\n<b>&amp;\n&amp;'],
    ['ligatures', 'ﬃ ﬅ Ĳ ǅ', 'ffi ſt IJ Dž'],
    ['width', 'ＡＢ　ﾀﾞ', 'AB ダ'],
    ['quotes', '“a” ‘b’ ʼc', "\"a\" 'b' 'c"],
    ['line breaks', 'a\r\nb\rc\u2028d\u2029e', 'a\nb\nc\nd\ne'],
    ['surrogates', '\ud83d', '\ufffd'],
    ['terminal escapes', '\x1b[36;44mblue\x1b[0m', 'blue'],
    ['control characters', '\ufeffa\0b\x07c\ufffc', 'abc'],
    ['composition', 'e\u0301', 'é'],
  ];
  for (const [name, text, fixed] of cases) assert.equal(fixText(text), fixed, name);
});

test('HTML references as Python decodes them', () => {
  const cases: [string, string][] = [
    ['&notit; &notin; &amp &ampx &unknown;', '¬it; ∉ & &x &unknown;'],
    ['&#65; &#x41 &#X41; &#0; &#13; &#128; &#x81;', 'A A A \ufffd \r € \x81'],
    ['&#xD800; &#1114112; &#1; &#xFFFE; &#;', '\ufffd \ufffd   &#;'],
    [`&#${'9'.repeat(5000)};`, '\ufffd'],
  ];
  for (const [text, decoded] of cases) assert.equal(unescapeHtml(text), decoded);
  assert.equal(
    unescapeTerminatedHtml('&amp &not &notit; &#59; &EACUTE; &nTILDE;'),
    '&amp &not &notit; &#59; É &nTILDE;',
  );
});
