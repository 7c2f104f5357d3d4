/**
 * The printable characters by which GPT-2 and CLIP write bytes in their vocabulary files (`bytes_to_unicode` of clip/simple_tokenizer.py).
 *
 * Bytes that are printable in Latin-1 stand for themselves and come first; the other 68 are written U+0100, U+0101, … The order is that of
 * the first 256 tokens of a vocabulary.
 */

/** The 256 bytes in the order of their tokens: token i of CLIP is byte `TOKEN_BYTES[i]`. */
export const TOKEN_BYTES: readonly number[] = (() => {
  const all = Array.from({ length: 256 }, (_, byte) => byte);
  const printable = (byte: number) => (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
  return [...all.filter(printable), ...all.filter((byte) => !printable(byte))];
})();

/** The characters of the 256 bytes, in the order of their tokens. */
export const BYTE_CHARACTERS: readonly string[] = (() => {
  let next = 256;
  const printable = TOKEN_BYTES.indexOf(0);
  return TOKEN_BYTES.map((byte, i) => String.fromCharCode(i < printable ? byte : next++));
})();
