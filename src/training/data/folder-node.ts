/**
 * A folder of pictures: each with its caption in a `.txt` (or `.caption`) of the same name, or all of them in a `metadata.jsonl` as Hugging
 * Face's `imagefolder` has it, one JSON object a line with `file_name` (a path below the file's folder), a caption and further fields; a
 * `conditioning_image` is the picture's map: of classes, or what a control network sees.
 */

import { lstat, readdir, realpath } from 'node:fs/promises';
import { dirname, isAbsolute, join, relative, sep } from 'node:path';
import { StableDiffusionError } from '../../errors.ts';
import { fileError, openFile } from '../../files/byte-source-node.ts';
import { isHiddenName } from '../../files/hidden-name.ts';
import { readFileOf } from '../../files/open-node.ts';
import { decodeText, notUtf8 } from '../../files/text-encoding.ts';
import { admClasses, folderClasses } from './adm-pictures.ts';
import { splitCaptions } from './caption-fields.ts';
import { isOtherPictureName, isPictureName } from './picture-names.ts';
import type { Problems } from './problems.ts';
import type { IndexedSource, SampleMetadata } from './sample.ts';
import { captionBytes, parseObject } from './sample-text.ts';
import { followedLinks, type FollowedLinks, isWithin } from './followed-links-node.ts';

export interface FolderOptions {
  readonly problems: Problems;
  /** Field of `metadata.jsonl` with the caption. Default: the first of `text`, `caption`, `prompt`, … */
  readonly captionField?: string;
  /** `class_label` of the metadata: from what the file's name has before its first `_`, or from the folder that the picture lies in. */
  readonly labels?: 'file_name' | 'folder' | undefined;
  /** Field of `metadata.jsonl` with the path of the picture's map. Default `conditioning_image`. */
  readonly mapField?: string;
  /** Another folder with the maps, by the pictures' names with any ending of a picture. */
  readonly mapFolder?: string;
}

interface Entry {
  /** Below the data set's folder, with `/`. */
  readonly name: string;
  /** From `metadata.jsonl`; undefined if captions are in .txt files. */
  readonly row?: SampleMetadata;
  /** The folder of its table, with `/` at the end. */
  readonly table?: string;
}

const captionFile = /\.(?:txt|caption)$/i;
/** Some programs of Windows write its name with capitals. */
const tableName = /(?:^|\/)metadata\.jsonl$/i;
const otherTable = /(?:^|\/)metadata\.(?:csv|parquet|json)$/i;

/** The most bytes of a picture's metadata. */
const recordBytes = 2 ** 20;

/** The most of a picture's file that is read. */
const largestPicture = 2 ** 28;

/**
 * Lists the folder and those in it, sorted by name (by code unit). If there is a `metadata.jsonl`, its rows are the data set
 * and other pictures are ignored. Hidden files and folders (`.name`, `__MACOSX`, `@eaDir`, recycle bins) are left out; pictures in other formats and
 * other tables are reported.
 *
 * Throws `file-not-found` for a missing folder or picture, `file-corrupt` for a broken line, `file-unsafe` for a
 * `file_name` that leads out of the folder, `invalid-argument` for a folder without pictures. Links: see followed-links-node.ts.
 */
export async function imageFolder(path: string, options: FolderOptions): Promise<IndexedSource> {
  const { problems, captionField, mapField = 'conditioning_image', mapFolder } = options;
  const root = await realpath(path).catch((cause: unknown) => {
    throw fileError(path, cause);
  });
  const files = await filesOf(root, problems);
  const entries = await entriesOf(root, files, problems);
  if (entries.length === 0)
    throw new StableDiffusionError(
      'invalid-argument',
      files.some((name) => tableName.test(name))
        ? `The metadata.jsonl of ${path} has no row that can be used.${passedOver(problems)}`
        : `${path} holds no pictures (.png, .jpg, .webp, .gif) and no metadata.jsonl.${passedOver(problems)}`,
    );
  if (options.labels !== 'folder') reportRepeats(entries, problems);
  const labels = labelsOf(entries, options.labels);
  const there = new Set(files);
  const maps = mapFolder === undefined ? undefined : await mapsIn(mapFolder, problems);
  const captions = new Map(files.filter((name) => captionFile.test(name)).map((name) => [captionKey(name), name]));
  const records = new Set(files.filter((name) => name.endsWith('.json')));
  return {
    label: path,
    count: entries.length,
    async read(index) {
      const entry = entries[index];
      if (!entry)
        throw new StableDiffusionError(
          'invalid-argument',
          `${path} has ${entries.length} pictures; ${index} is out of range.`,
        );
      const { name, row, table = '' } = entry;
      const label = labels?.[index];
      const metadata = label === undefined ? {} : { class_label: label };
      const image = await readOrdinary(join(root, name), largestPicture).catch((cause: unknown) =>
        fileError(name, cause),
      );
      if (image instanceof StableDiffusionError || image.isCut) {
        const reason =
          image instanceof StableDiffusionError ? image.message : `${name} has more than ${largestPicture} bytes.`;
        problems.report('missing-image', name, reason);
        return undefined;
      }
      const known = maps && (await maps(name));
      const other = known ? { map: known } : {};
      if (row) {
        const { [mapField]: given, ...fields } = row;
        const own = given === undefined ? {} : { map: await mapOf(root, mapPath(name, table, given, there), problems) };
        const split = splitCaptions(fields, captionField);
        return { name, image: image.bytes, ...split, metadata: { ...metadata, ...split.metadata }, ...other, ...own };
      }
      const beside = captions.get(captionKey(name, '.txt')) ?? captions.get(captionKey(name, '.caption'));
      const record = captionKey(name, '.json');
      const fields = records.has(record) ? await recordOf(root, record, problems) : {};
      const own = beside === undefined ? splitCaptions(fields, captionField) : undefined;
      return {
        name,
        image: image.bytes,
        captions: beside === undefined ? (own?.captions ?? []) : await captionOf(root, beside, problems),
        metadata: { ...metadata, ...(own?.metadata ?? fields) },
        ...other,
      };
    },
    async close() {},
  };
}

/** Reports kohya's folders, `10_name`, whose pictures its scripts take ten times a pass: here each counts once. */
function reportRepeats(entries: readonly Entry[], problems: Problems): void {
  const folders = entries.map(({ name, row }) => (row ? '' : (/^\d+_[^/]+(?=\/)/.exec(name)?.[0] ?? '')));
  for (const folder of new Set(folders)) {
    const text = `The number in ${folder} is not used as kohya's repeats: each picture counts once a pass.`;
    if (Number.parseInt(folder, 10) > 1) problems.report('ignored-repeats', folder, text);
  }
}

/** Classes of the entries, numbered in the order of their names. */
function labelsOf(entries: readonly Entry[], kind: FolderOptions['labels']): readonly number[] | undefined {
  if (kind === undefined) return undefined;
  const names = entries.map(({ name }) => name);
  return (kind === 'file_name' ? admClasses(names) : folderClasses(names)).classes;
}

/** The place of a map that a row names: below the table's folder, as `file_name`, or else below the picture's. */
function mapPath(name: string, table: string, given: unknown, there: ReadonlySet<string>): string {
  const what = `the map of ${name}`;
  const path = pathWithin(table, given, what);
  const beside = pathWithin(name.slice(0, name.lastIndexOf('/') + 1), given, what);
  // Windows' programs write their own separator.
  const places = [path, path.replaceAll('\\', '/'), beside, beside.replaceAll('\\', '/')];
  return places.find((place) => there.has(place)) ?? beside;
}

/** The maps of a folder, by the names of pictures. */
async function mapsIn(folder: string, problems: Problems): Promise<(name: string) => Promise<Uint8Array | undefined>> {
  const root = await realpath(folder).catch((cause: unknown) => {
    throw fileError(folder, cause);
  });
  const files = (await filesOf(root, problems)).filter((name) => isPictureName(name));
  const byName = new Map(files.map((name) => [captionKey(name, ''), name]));
  return async (name) => {
    const found = byName.get(captionKey(name, ''));
    return found === undefined ? undefined : mapOf(root, found, problems);
  };
}

/** The bytes of a map. */
async function mapOf(root: string, path: string, problems: Problems): Promise<Uint8Array | undefined> {
  const file = await readOrdinary(join(root, path), largestPicture).catch((cause: unknown) => fileError(path, cause));
  if (!(file instanceof StableDiffusionError) && !file.isCut) return file.bytes;
  const reason = file instanceof StableDiffusionError ? file.message : `${path} has more than ${largestPicture} bytes.`;
  problems.report('missing-image', path, reason);
  return undefined;
}

/** A file's name with the ending in lower case, or with another ending. */
const captionKey = (name: string, ending?: string): string =>
  name.replace(/\.[^./]*$/, (own) => ending ?? own.toLowerCase());

function passedOver(problems: Problems): string {
  const found = problems.counts().get('unsupported-file');
  return found ? ` Passed over: ${found.names.join(', ')}${found.count > found.names.length ? ', …' : ''}.` : '';
}

/** The rows of its tables, or its pictures. */
async function entriesOf(root: string, files: readonly string[], problems: Problems): Promise<Entry[]> {
  const tables = files.filter((name) => tableName.test(name));
  const entries: Entry[] = [];
  for (const table of tables) entries.push(...(await readTable(root, table, files, problems)));
  for (const name of files) {
    if (otherTable.test(name))
      problems.report('unsupported-file', name, `${name} is not read; captions are read from metadata.jsonl and .txt.`);
    else if (tables.length === 0 && isOtherPictureName(name))
      problems.report('unsupported-file', name, `${name} is left out: convert it to PNG, JPEG, WebP or GIF.`);
  }
  if (tables.length === 0) entries.push(...files.filter((name) => isPictureName(name)).map((name) => ({ name })));
  return entries;
}

/** The first bytes of an ordinary file, at most so many, and whether there are more. */
async function readOrdinary(
  path: string,
  most: number,
): Promise<{ readonly bytes: Uint8Array; readonly isCut: boolean }> {
  const source = await openFile(path);
  try {
    return { bytes: await source.read(0, Math.min(source.size, most)), isCut: source.size > most };
  } finally {
    await source.close();
  }
}

async function captionOf(root: string, name: string, problems: Problems): Promise<string[]> {
  const { bytes, isCut } = await readOrdinary(join(root, name), captionBytes);
  const text = decodeText(bytes, isCut);
  if (text !== undefined) return [text.trim()];
  problems.report('corrupt-caption', name, `The caption ${name} is not used: it is not UTF-8. Save it as UTF-8.`);
  return [];
}

/** The metadata of a picture in `NAME.json`, as img2dataset writes them; none, and reported, where they cannot be read. */
async function recordOf(root: string, name: string, problems: Problems): Promise<SampleMetadata> {
  const { bytes, isCut } = await readOrdinary(join(root, name), recordBytes);
  const text = isCut ? undefined : decodeText(bytes);
  const value = isCut ? `has more than ${recordBytes} bytes` : text === undefined ? 'is not UTF-8' : parseObject(text);
  if (typeof value !== 'string') return value;
  problems.report('corrupt-metadata', name, `${name} ${value}; its picture is used without it.`);
  return {};
}

/** Ordinary files below a folder, and what its links lead to. */
const filesOf = (root: string, problems: Problems): Promise<string[]> =>
  listFiles(root, '', {
    problems,
    links: followedLinks(root),
  });

interface Listing {
  readonly problems: Problems;
  readonly links: FollowedLinks;
}

async function listFiles(root: string, below: string, listing: Listing): Promise<string[]> {
  const entries = await readdir(join(root, below), { withFileTypes: true }).catch((cause: unknown) => {
    throw fileError(join(root, below), cause);
  });
  const files: string[] = [];
  for (const entry of entries.sort((a, b) => (a.name < b.name ? -1 : 1))) {
    const name = below === '' ? entry.name : `${below}/${entry.name}`;
    if (isHiddenName(entry.name)) continue;
    const linked = entry.isSymbolicLink() ? await listing.links.follow(name, join(root, name)) : undefined;
    if (typeof linked === 'object') listing.problems.report('unsafe-name', name, linked.reason);
    else if (linked === 'folder' || entry.isDirectory())
      for (const file of await listFiles(root, name, listing)) files.push(file);
    else if (linked === 'file' || entry.isFile()) files.push(name);
  }
  return files;
}

async function readTable(root: string, table: string, files: readonly string[], problems: Problems): Promise<Entry[]> {
  const there = new Set(files);
  const folder = table.slice(0, table.lastIndexOf('/') + 1);
  const path = join(root, table);
  const real = await realpath(dirname(path));
  // A table in a linked folder lies there.
  const within = isWithin(real, root) ? root : real;
  const text = decodeText(await readFileOf('table of pictures', path, { within }));
  if (text === undefined) throw notUtf8(table);
  const entries: (Entry & { readonly where: string; readonly row: SampleMetadata })[] = [];
  for (const [i, line] of text.split('\n').entries()) {
    if (line.trim() === '') continue;
    const where = `line ${i + 1} of ${table}`;
    const fields = parseObject(line);
    if (typeof fields === 'string') {
      // A table cut off or of another format is an error; one bad row among good ones is not.
      if (!fields.startsWith('is nested')) throw new StableDiffusionError('file-corrupt', `${where} ${fields}.`);
      problems.report('corrupt-metadata', where, `${where} is left out: it ${fields}.`);
      continue;
    }
    const { file_name, ...row } = fields;
    const name = pathWithin(folder, file_name, where);
    // Windows' programs write their own separator.
    entries.push({ where, name: there.has(name) ? name : name.replaceAll('\\', '/'), row });
  }
  for (const { where, name } of entries) {
    if (there.has(name)) continue;
    const status = await lstat(join(root, name)).catch(() => undefined);
    if (status?.isSymbolicLink())
      throw new StableDiffusionError('file-unsafe', `${where} names ${name}, which is a link that is not followed.`);
    throw new StableDiffusionError('file-not-found', `${where} names ${name}, which does not exist.`);
  }
  return entries.map(({ name, row }) => ({ name, row, table: folder }));
}

function pathWithin(folder: string, file: unknown, where: string): string {
  if (typeof file !== 'string')
    throw new StableDiffusionError(
      'file-corrupt',
      `${where} has no file_name. Give it the path of a picture, relative to the table.`,
    );
  if (isAbsolute(file) || file.split(/[/\\]/).includes('..')) {
    throw new StableDiffusionError(
      'file-unsafe',
      `${where} has the file_name ${JSON.stringify(file)}, which leads out of the folder; it must be a path within it.`,
    );
  }
  return relative('/', join('/', folder, file))
    .split(sep)
    .join('/');
}
