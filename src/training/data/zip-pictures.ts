/** A zip of pictures, as people pack a folder: in the order of their names, each with its caption in a `.txt` (or `.caption`) of the same name. */

import { StableDiffusionError } from '../../errors.ts';
import type { ByteSource } from '../../files/byte-source.ts';
import { isHiddenName } from '../../files/hidden-name.ts';
import { decodeText } from '../../files/text-encoding.ts';
import { openZip, type ZipArchive } from '../../files/zip.ts';
import { isOtherPictureName, isPictureName } from './picture-names.ts';
import type { Problems } from './problems.ts';
import type { IndexedSource } from './sample.ts';
import { captionBytes } from './sample-text.ts';

/** The most bytes of a picture's record. */
const largestPicture = 2 ** 28;

const withEnding = (name: string, ending: string): string => name.replace(/\.[^./]*$/, ending).toLowerCase();

/** Closes `source` with itself. Throws what `openZip` throws, `invalid-argument` for a zip without pictures. */
export async function zipPictures(source: ByteSource, problems: Problems): Promise<IndexedSource> {
  const { label } = source;
  const zip: ZipArchive = await openZip(source);
  const shown = [...zip.records.keys()].filter((name) => !name.split('/').some(isHiddenName));
  const names = shown.filter(isPictureName).sort();
  for (const name of shown.filter(isOtherPictureName))
    problems.report('unsupported-file', name, `${name} is left out: convert it to PNG, JPEG, WebP or GIF.`);
  if (names.length === 0)
    throw new StableDiffusionError('invalid-argument', `${label} holds no pictures (.png, .jpg, .webp, .gif).`);
  const byName = new Map(shown.map((name) => [name.toLowerCase(), name]));
  const bytesOf = async (name: string, most: number): Promise<Uint8Array | undefined> => {
    const record = zip.records.get(name);
    if (!record || record.size > most) return undefined;
    return zip.read(record);
  };
  const captionOf = async (name: string): Promise<readonly string[]> => {
    const own = byName.get(withEnding(name, '.txt')) ?? byName.get(withEnding(name, '.caption'));
    if (own === undefined) return [];
    const bytes = await bytesOf(own, captionBytes);
    const text = bytes && decodeText(bytes);
    if (text !== undefined) return [text.trim()];
    problems.report(
      'corrupt-caption',
      own,
      `The caption ${own} is not used: it is not UTF-8, or has more than ${captionBytes} bytes.`,
    );
    return [];
  };
  return {
    label,
    count: names.length,
    async read(index) {
      const name = names[index] ?? '';
      try {
        const image = await bytesOf(name, largestPicture);
        if (image) return { name, image, captions: await captionOf(name), metadata: {} };
        problems.report('missing-image', name, `${name} has more than ${largestPicture} bytes.`);
      } catch (error) {
        if (!(error instanceof StableDiffusionError)) throw error;
        problems.report('corrupt-image', name, error.message);
      }
      return undefined;
    },
    close: () => source.close(),
  };
}
