/**
 * The single-byte encodings that text in UTF-8 is most often misread in (mapping tables of unicode.org; `sloppy-windows-*` of ftfy).
 *
 * A table gives the characters of the bytes 0x80 to 0xff, `.` meaning the character of Latin-1. Bytes that Windows leaves unassigned are
 * those of Latin-1 too ("sloppy"); byte 0x1a then represents U+FFFD, that is, a lost byte.
 */

export interface CodePage {
  readonly name: string;
  /** True for the Windows pages, in which 0x1a is U+FFFD. */
  readonly sloppy: boolean;
  readonly characters: readonly string[];
  readonly bytes: ReadonlyMap<string, number>;
}

/** The character of a byte. */
export function decodeByte(page: CodePage, byte: number): string {
  return page.characters[byte] ?? '';
}

/** The bytes of a text, one UTF-16 unit a byte; undefined where the page lacks a character. */
export function encodeBytes(page: CodePage, text: string): string | undefined {
  const bytes: number[] = [];
  for (let i = 0; i < text.length; i++) {
    const byte = page.bytes.get(text.charAt(i));
    if (byte === undefined) return undefined;
    bytes.push(byte);
  }
  return latin1String(bytes);
}

/** A string whose UTF-16 units are the given bytes. */
export function latin1String(bytes: ArrayLike<number>): string {
  let text = '';
  for (let i = 0; i < bytes.length; i += 4096)
    text += String.fromCharCode(...Array.prototype.slice.call(bytes, i, i + 4096));
  return text;
}

function codePage(name: string, upper: string, sloppy: boolean): CodePage {
  const characters = Array.from({ length: 256 }, (_, byte) => String.fromCharCode(byte));
  if (sloppy) characters[0x1a] = '\ufffd';
  for (const [i, character] of [...upper].entries()) if (character !== '.') characters[0x80 + i] = character;
  return { name, sloppy, characters, bytes: new Map(characters.map((character, byte) => [character, byte])) };
}

export const LATIN_1 = codePage('latin-1', '', false);
export const WINDOWS_1252 = codePage('windows-1252', '€.‚ƒ„…†‡ˆ‰Š‹Œ.Ž..‘’“”•–—˜™š›œ.žŸ', true);
export const WINDOWS_1251 = codePage(
  'windows-1251',
  'ЂЃ‚ѓ„…†‡€‰Љ‹ЊЌЋЏђ‘’“”•–—.™љ›њќћџ' +
    '.ЎўЈ.Ґ..Ё.Є....Ї..Ііґ...ё№є.јЅѕї' +
    'АБВГДЕЖЗИЙКЛМНОПРСТУФХЦЧШЩЪЫЬЭЮЯабвгдежзийклмнопрстуфхцчшщъыьэюя',
  true,
);
export const WINDOWS_1250 = codePage(
  'windows-1250',
  '€.‚.„…†‡.‰Š‹ŚŤŽŹ.‘’“”•–—.™š›śťžź' +
    '.ˇ˘Ł.Ą....Ş....Ż..˛ł.....ąş.Ľ˝ľż' +
    'Ŕ..Ă.ĹĆ.Č.Ę.Ě..ĎĐŃŇ..Ő..ŘŮ.Ű..Ţ.ŕ..ă.ĺć.č.ę.ě..ďđńň..ő..řů.ű..ţ˙',
  true,
);
export const WINDOWS_1253 = codePage(
  'windows-1253',
  '€.‚ƒ„…†‡.‰.‹.....‘’“”•–—.™.›....' +
    '.΅Ά............―....΄...ΈΉΊ.Ό.ΎΏ' +
    'ΐΑΒΓΔΕΖΗΘΙΚΛΜΝΞΟΠΡ.ΣΤΥΦΧΨΩΪΫάέήίΰαβγδεζηθικλμνξοπρςστυφχψωϊϋόύώ.',
  true,
);
export const WINDOWS_1254 = codePage(
  'windows-1254',
  '€.‚ƒ„…†‡ˆ‰Š‹Œ....‘’“”•–—˜™š›œ..Ÿ' +
    '................................' +
    '................Ğ............İŞ.................ğ............ış.',
  true,
);
export const WINDOWS_1257 = codePage(
  'windows-1257',
  '€.‚.„…†‡.‰.‹.¨ˇ¸.‘’“”•–—.™.›.¯˛.' +
    '........Ø.Ŗ....Æ........ø.ŗ....æ' +
    'ĄĮĀĆ..ĘĒČ.ŹĖĢĶĪĻŠŃŅ.Ō...ŲŁŚŪ.ŻŽ.ąįāć..ęēč.źėģķīļšńņ.ō...ųłśū.żž˙',
  true,
);
export const ISO_8859_2 = codePage(
  'iso-8859-2',
  '................................' +
    '.Ą˘Ł.ĽŚ..ŠŞŤŹ.ŽŻ.ą˛ł.ľśˇ.šşťź˝žż' +
    'Ŕ..Ă.ĹĆ.Č.Ę.Ě..ĎĐŃŇ..Ő..ŘŮ.Ű..Ţ.ŕ..ă.ĺć.č.ę.ě..ďđńň..ő..řů.ű..ţ˙',
  false,
);
export const MAC_ROMAN = codePage(
  'mac_roman',
  'ÄÅÇÉÑÖÜáàâäãåçéèêëíìîïñóòôöõúùûü' +
    '†°..§•¶ß®.™´¨≠ÆØ∞.≤≥¥.∂∑∏π∫ªºΩæø' +
    '¿¡¬√ƒ≈∆«»…\u00a0ÀÃÕŒœ–—“”‘’÷◊ÿŸ⁄€‹›ﬁﬂ‡·‚„‰ÂÊÁËÈÍÎÏÌÓÔ\uf8ffÒÚÛÙıˆ˜¯˘˙˚¸˝˛ˇ',
  false,
);
export const CODE_PAGE_437 = codePage(
  'cp437',
  'ÇüéâäàåçêëèïîìÄÅÉæÆôöòûùÿÖÜ¢£¥₧ƒ' +
    'áíóúñÑªº¿⌐¬½¼¡«»░▒▓│┤╡╢╖╕╣║╗╝╜╛┐' +
    '└┴┬├─┼╞╟╚╔╩╦╠═╬╧╨╤╥╙╘╒╓╫╪┘┌█▄▌▐▀αßΓπΣσµτΦΘΩδ∞φε∩≡±≥≤⌠⌡÷≈°∙·√ⁿ²■\u00a0',
  false,
);
