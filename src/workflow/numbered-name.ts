/** Names of files that workflows write, as ComfyUI counts them: `PREFIX_00001_.png`. */

export const numberedName = (name: string, counter: number, ending: string): string =>
  `${name}_${String(counter).padStart(5, '0')}_.${ending}`;

/** The word of a prefix that is the place of a picture in its batch. */
const batchWord = '%batch_num%';

/** The name of a picture of a batch. */
export const nameInBatch = (name: string, place: number): string => name.replaceAll(batchWord, String(place));

/** How many characters of a file's name are the name of a prefix, for any place in the batch; undefined where it begins otherwise. */
function lengthOfName(file: string, name: string): number | undefined {
  let at = 0;
  for (const [i, part] of name.split(batchWord).entries()) {
    if (i > 0) {
      const digits = /^[0-9]{1,9}/.exec(file.slice(at))?.[0];
      if (digits === undefined) return undefined;
      at += digits.length;
    }
    if (!file.startsWith(part, at)) return undefined;
    at += part.length;
  }
  return at;
}

/** The number of `NAME_00001_.png`; 0 for other names. */
export function counterOf(file: string, name: string): number {
  const lower = file.toLowerCase();
  const length = lengthOfName(lower, name.toLowerCase());
  if (length === undefined || lower.charAt(length) !== '_') return 0;
  const digits = /^[0-9]{1,15}/.exec(lower.slice(length + 1).split('_')[0] ?? '')?.[0];
  return digits === undefined ? 0 : Number(digits);
}
