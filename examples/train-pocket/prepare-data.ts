/**
 * The pocket model's data: folders of captioned pictures from the Fluent 3D emoji (Microsoft, MIT) and the names and tags of emojibase (MIT).
 *
 *     mkdir emoji && cd emoji && npm init -y && npm i @lobehub/fluent-emoji-3d emojibase-data && cd ..
 *     node --import ./tools/typescript.mjs examples/train-pocket/prepare-data.ts emoji/node_modules data
 *
 * - `data/captioned`: what the UNet and the text encoder learn, 128 x 128, with `metadata.jsonl`: several captions each, one drawn at each use
 * - `data/pictures`: what the autoencoder and the network of features learn, the same of more emoji
 * - `data/tiles`: the same in overlapping pieces of 64 x 64, for its first and longest part
 */

import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { crop, flatten, type Image, resize } from 'stable-diffusion-ts/image';
import { nodeImageCodec } from 'stable-diffusion-ts/image/node';

interface Emoji {
  readonly hexcode: string;
  readonly label: string;
  readonly tags?: readonly string[];
  readonly group?: number;
  readonly subgroup?: number;
}

const [modules, out] = process.argv.slice(2);
if (modules === undefined || out === undefined) throw new Error('Usage: prepare-data.ts NODE_MODULES OUT');

const side = 128;
const tile = 64;

/** Groups of emojibase: smileys, animals and nature, food and drink, activities; of travel, what flies. */
const isCaptioned = ({ group, subgroup }: Emoji): boolean =>
  group === 0 || group === 3 || group === 4 || group === 6 || subgroup === 56;
/** The same, and travel and objects. Flags, signs and people in all their variants are left out. */
const isDrawn = (emoji: Emoji): boolean => isCaptioned(emoji) || emoji.group === 5 || emoji.group === 7;

/** What a picture may be called: mostly its name, sometimes with an article or with tags that the name does not say. */
function captions({ label, tags = [] }: Emoji): string[] {
  const name = label.toLowerCase().replaceAll('’', "'");
  const further = tags.filter((tag) => !name.includes(tag) && /^[a-z -]+$/.test(tag)).slice(0, 3);
  const named = [name, name, `${/^[aeiou]/.test(name) ? 'an' : 'a'} ${name}`];
  return further.length > 0 ? [...named, [name, ...further].join(', ')] : named;
}

const isBlank = ({ data }: Image): boolean => data.every((value) => value > 250);

async function save(folder: string, name: string, image: Image): Promise<void> {
  await writeFile(join(folder, `${name}.png`), await nodeImageCodec.encode(image, { format: 'png' }));
}

const folders = { captioned: join(out, 'captioned'), pictures: join(out, 'pictures'), tiles: join(out, 'tiles') };
for (const folder of Object.values(folders)) await mkdir(folder, { recursive: true });

const emoji = JSON.parse(await readFile(join(modules, 'emojibase-data/en/data.json'), 'utf8')) as readonly Emoji[];
const assets = join(modules, '@lobehub/fluent-emoji-3d/assets');
// The two packages differ in whether they write the variation selector.
const bare = (code: string): string => code.toLowerCase().replaceAll('-fe0f', '');
const files = new Map((await readdir(assets)).map((file) => [bare(file.replace(/\.webp$/, '')), join(assets, file)]));
const rows: Record<'captioned' | 'pictures', string[]> = { captioned: [], pictures: [] };
let tiles = 0;
for (const entry of emoji) {
  const name = bare(entry.hexcode);
  const file = files.get(name);
  if (!isDrawn(entry) || file === undefined) continue;
  const picture = flatten(await nodeImageCodec.decode(await readFile(file)), [255, 255, 255]);
  const small = resize(picture, side, side, 'lanczos');
  const row = JSON.stringify({
    file_name: `${name}.png`,
    text: captions(entry),
    group: entry.group,
    subgroup: entry.subgroup,
  });
  for (const set of ['captioned', 'pictures'] as const) {
    if (set === 'captioned' && !isCaptioned(entry)) continue;
    await save(folders[set], name, small);
    rows[set].push(row);
  }
  for (let y = 0; y + tile <= side; y += tile / 2) {
    for (let x = 0; x + tile <= side; x += tile / 2) {
      const piece = crop(small, x, y, tile, tile);
      if (isBlank(piece)) continue;
      await save(folders.tiles, `${name}-${y}-${x}`, piece);
      tiles++;
    }
  }
}
for (const [set, lines] of Object.entries(rows))
  await writeFile(join(out, set, 'metadata.jsonl'), `${lines.join('\n')}\n`);
console.log(`${rows.captioned.length} captioned pictures, ${rows.pictures.length} pictures, ${tiles} tiles in ${out}`);
