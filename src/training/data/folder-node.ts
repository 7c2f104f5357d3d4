/**
 * A folder of pictures: each with its caption in a `.txt` of the same name beside it, or all of them in a `metadata.jsonl` as Hugging
 * Face's `imagefolder` has it, one JSON object a line with `file_name` (a path below the file's folder), a caption and whatever else.
 */

import { lstat, readdir, readFile, realpath } from 'node:fs/promises';
import { isAbsolute, join, relative, sep } from 'node:path';
import { StableDiffusionError } from '../../errors.ts';
import { fileError } from '../../files/byte-source-node.ts';
import { splitCaptions } from './caption-fields.ts';
import type { Problems } from './problems.ts';
import type { IndexedSource, SampleMetadata } from './sample.ts';

export interface FolderOptions {
  readonly problems: Problems;
  /** Field of `metadata.jsonl` with the caption. Default: the first of `text`, `caption`, `prompt`, … */
  readonly captionField?: string;
}

interface Entry {
  /** Below the data set's folder, with `/`. */
  readonly name: string;
  /** From `metadata.jsonl`; undefined where captions are in .txt files. */
  readonly row?: SampleMetadata;
}

const picture = /\.(?:png|jpe?g|webp|gif)$/i;

/**
 * Lists the folder and those in it, in order of their names (by code unit). Where there is a `metadata.jsonl`, its rows are the data set
 * and other pictures are ignored.
 *
 * Throws `file-not-found` for a folder or a picture of a row that is not there, `file-corrupt` for a broken line, `file-unsafe` for a
 * `file_name` that leads out of the folder, `invalid-argument` for a folder without pictures. Links are never followed.
 */
export async function imageFolder(path: string, options: FolderOptions): Promise<IndexedSource> {
  const root = await realpath(path).catch((cause: unknown) => {
    throw fileError(path, cause);
  });
  const files = await listFiles(root, '', options.problems);
  const tables = files.filter((name) => /(?:^|\/)metadata\.jsonl$/.test(name));
  const entries: Entry[] = [];
  for (const table of tables) entries.push(...(await readTable(root, table, files)));
  if (tables.length === 0) entries.push(...files.filter((name) => picture.test(name)).map((name) => ({ name })));
  if (entries.length === 0)
    throw new StableDiffusionError(
      'invalid-argument',
      `${path} holds no pictures (.png, .jpg, .webp, .gif) and no metadata.jsonl.`,
    );
  return {
    label: path,
    count: entries.length,
    async read(index) {
      const entry = entries[index];
      if (!entry)
        throw new StableDiffusionError(
          'invalid-argument',
          `There is no picture ${index} in ${path}, which has ${entries.length}.`,
        );
      const { name, row } = entry;
      const image = await readFile(join(root, name)).catch((cause: unknown) => fileError(name, cause));
      if (image instanceof StableDiffusionError) {
        options.problems.report('missing-image', name, image.message);
        return undefined;
      }
      if (row) return { name, image: new Uint8Array(image), ...splitCaptions(row, options.captionField) };
      const caption = await readFile(join(root, name.replace(/\.[^.]*$/, '.txt')), 'utf8').catch((cause: unknown) => {
        if (fileError(name, cause).code !== 'file-not-found') throw fileError(name, cause);
      });
      return {
        name,
        image: new Uint8Array(image),
        captions: caption === undefined ? [] : [caption.trim()],
        metadata: {},
      };
    },
    async close() {},
  };
}

/** Ordinary files below a folder. */
async function listFiles(root: string, below: string, problems: Problems): Promise<string[]> {
  const entries = await readdir(join(root, below), { withFileTypes: true }).catch((cause: unknown) => {
    throw fileError(join(root, below), cause);
  });
  const files: string[] = [];
  for (const entry of entries.sort((a, b) => (a.name < b.name ? -1 : 1))) {
    const name = below === '' ? entry.name : `${below}/${entry.name}`;
    if (entry.isSymbolicLink()) problems.report('unsafe-name', name, `${name} is a link and is not followed.`);
    else if (entry.isDirectory()) files.push(...(await listFiles(root, name, problems)));
    else if (entry.isFile()) files.push(name);
  }
  return files;
}

async function readTable(root: string, table: string, files: readonly string[]): Promise<Entry[]> {
  const there = new Set(files);
  const folder = table.slice(0, table.lastIndexOf('/') + 1);
  const rows = (await readFile(join(root, table), 'utf8'))
    .split('\n')
    .flatMap((line, i) => (line.trim() === '' ? [] : [parseRow(line, `line ${i + 1} of ${table}`)]));
  const entries = rows.map(({ where, fields: { file_name, ...row } }) => {
    if (typeof file_name !== 'string')
      throw new StableDiffusionError(
        'file-corrupt',
        `${where} has no file_name. Give it the path of a picture beside the table.`,
      );
    if (isAbsolute(file_name) || file_name.split(/[/\\]/).includes('..')) {
      throw new StableDiffusionError(
        'file-unsafe',
        `${where} has the file_name ${JSON.stringify(file_name)}, which leads out of the folder; it must be a path within it.`,
      );
    }
    return {
      where,
      name: relative('/', join('/', folder, file_name))
        .split(sep)
        .join('/'),
      row,
    };
  });
  for (const { where, name } of entries) {
    if (there.has(name)) continue;
    const status = await lstat(join(root, name)).catch(() => undefined);
    if (status?.isSymbolicLink())
      throw new StableDiffusionError('file-unsafe', `${where} names ${name}, which is a link; links are not followed.`);
    throw new StableDiffusionError('file-not-found', `${where} names ${name}, which is not there.`);
  }
  return entries.map(({ name, row }) => ({ name, row }));
}

function parseRow(line: string, where: string): { readonly where: string; readonly fields: Record<string, unknown> } {
  try {
    const value: unknown = JSON.parse(line);
    if (typeof value === 'object' && value !== null && !Array.isArray(value))
      return { where, fields: value as Record<string, unknown> };
  } catch (cause) {
    throw new StableDiffusionError('file-corrupt', `${where} is no JSON.`, { cause });
  }
  throw new StableDiffusionError('file-corrupt', `${where} is no JSON object.`);
}
