/** A data set by its path: a folder or a zip of pictures, shards by pattern, Parquet files, or a folder of cached latents. */

import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { StableDiffusionError } from '../../errors.ts';
import type { ByteSource } from '../../files/byte-source.ts';
import { fileError, openFile } from '../../files/byte-source-node.ts';
import { imageFolder } from './folder-node.ts';
import { parquetDataset } from './parquet-node.ts';
import type { Problems } from './problems.ts';
import type { SampleSource } from './sample.ts';
import { isRemote, openRemoteShards, type ShardCache } from './remote-shards-node.ts';
import { expandBraces, shardNames } from './shard-names-node.ts';
import { zipPictures } from './zip-pictures.ts';
import { webDataset } from './webdataset.ts';
import { isHiddenName } from '../../files/hidden-name.ts';

export interface OpenDataOptions {
  readonly problems: Problems;
  readonly captionField?: string;
  /** Column of Parquet files, or field of WebDataset's samples, with the pictures. */
  readonly imageField?: string;
  /** Classes of a folder's pictures, from their names or folders. */
  readonly labels?: 'file_name' | 'folder';
  /** Throws where the data have no such labels. Default false: shards give them in their metadata. */
  readonly needsLabels?: boolean;
  /** Where shards of addresses are kept. */
  readonly cache?: ShardCache;
  /** Column, field or part of a sample with the map. Default `conditioning_image`. */
  readonly mapField?: string;
  /** For folders: another folder with the maps, by the pictures' names. */
  readonly mapFolder?: string;
}

/** All of the files, or none open. */
async function openAll(paths: readonly string[]): Promise<ByteSource[]> {
  const opened: ByteSource[] = [];
  try {
    for (const path of paths) opened.push(await openFile(path));
    return opened;
  } catch (cause) {
    for (const file of opened) await file.close();
    throw cause;
  }
}

/** Closes the file where it cannot be used. */
async function openZipPictures(path: string, { problems }: OpenDataOptions): Promise<SampleSource> {
  const file = await openFile(path);
  try {
    return await zipPictures(file, problems);
  } catch (cause) {
    await file.close();
    throw cause;
  }
}

/** img2dataset's table of a shard or of a folder of pictures, which lies next to it and has no pictures itself. */
function isTableOf(name: string, inFolder: readonly string[]): boolean {
  const stem = name.slice(0, -'.parquet'.length);
  return /^\d+$/.test(stem) && (inFolder.includes(`${stem}.tar`) || inFolder.includes(stem));
}

const mapsAreOfFolders = (path: string): StableDiffusionError =>
  new StableDiffusionError(
    'config-invalid',
    `conditioning_root is for a folder of pictures; ${path} is not one. Shards and Parquet files hold their maps themselves.`,
  );

const labelsAreOfFolders = (path: string): StableDiffusionError =>
  new StableDiffusionError(
    'invalid-argument',
    `${path}: labels is for folders of pictures. Unpack a zip; shards and Parquet files give classes in their field class_label.`,
  );

/** Throws `file-not-found`, `invalid-argument` for a folder with nothing to train on, or the errors of the kind of data. */
export async function openData(path: string, options: OpenDataOptions): Promise<SampleSource> {
  if (isRemote(path)) {
    if (options.needsLabels) throw labelsAreOfFolders(path);
    if (options.mapFolder !== undefined) throw mapsAreOfFolders(path);
    const { shards, open, close } = await openRemoteShards(path, options.cache ?? {});
    return { ...webDataset({ label: path, shards, open, ...options }), close };
  }
  const paths = expandBraces(path);
  const status = await stat(paths[0] as string).catch((cause: unknown) => {
    throw fileError(paths[0] as string, cause);
  });
  const inFolder = status.isDirectory() ? (await readdir(path)).filter((name) => !isHiddenName(name)).sort() : [];
  const parquet = status.isDirectory()
    ? inFolder.filter((name) => name.endsWith('.parquet') && !isTableOf(name, inFolder)).map((name) => join(path, name))
    : paths.filter((name) => name.endsWith('.parquet'));
  const isShards =
    paths.every((name) => /\.(?:tar|tar\.gz|tgz)$/i.test(name)) ||
    inFolder.some((name) => /\.(?:tar|tar\.gz|tgz)$/i.test(name));
  const isZip = !status.isDirectory() && /\.zip$/i.test(path);
  if (options.mapFolder !== undefined && (!status.isDirectory() || parquet.length > 0 || isShards))
    throw mapsAreOfFolders(path);
  if (options.needsLabels && (parquet.length > 0 || isShards || isZip)) throw labelsAreOfFolders(path);
  if (parquet.length > 0) return parquetDataset(await openAll(parquet), options);
  if (isShards) {
    return webDataset({ label: path, shards: await shardNames(path), open: openFile, ...options });
  }
  if (status.isDirectory()) return imageFolder(path, options);
  if (isZip) return openZipPictures(path, options);
  throw new StableDiffusionError(
    'invalid-argument',
    `${path} is not a data set. Give a folder of pictures, a .zip of pictures, .tar shards or .parquet files.`,
  );
}
