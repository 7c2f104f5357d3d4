/**
 * Links in a folder of pictures: people lay one data set from several places by links, and Hugging Face's cache lays every file so. A link
 * to a picture or to a folder is followed wherever it leads. A text decides what is trained on, and somebody else's link could lead to any
 * text of this machine: a link to one is followed within the data set, into the cache's blobs, and beside the linked picture of its name.
 */

import { realpath } from 'node:fs/promises';
import { dirname, extname, isAbsolute, relative } from 'node:path';
import { StableDiffusionError } from '../../errors.ts';
import { fileError, openFile } from '../../files/byte-source-node.ts';
import { whatIsAt } from '../../files/open-node.ts';
import { imageFormatOf } from '../../image/codec/image-file.ts';
import { isPictureName, pictureEndings } from './picture-names.ts';

export interface FollowedLinks {
  /** What the link of this name is, where it is followed; else why not. */
  follow(name: string, path: string): Promise<'file' | 'folder' | { readonly reason: string }>;
}

/** Bytes that tell a picture's format. */
const signature = 32;

/** Whether a path is a folder or lies in it. */
export function isWithin(path: string, folder: string): boolean {
  const from = relative(folder, path);
  return !isAbsolute(from) && from.split(/[/\\]/)[0] !== '..';
}

const stemOf = (path: string): string => path.slice(0, path.length - extname(path).length);

async function isPicture(path: string): Promise<boolean> {
  const file = await openFile(path);
  try {
    return imageFormatOf(await file.read(0, Math.min(signature, file.size))) !== undefined;
  } finally {
    await file.close();
  }
}

/** `root`: the real path of the data set. */
export function followedLinks(root: string): FollowedLinks {
  const folders = [root];
  /** A picture of the text's name that is a link into the text's real folder, under the same name there. */
  const liesWithItsPicture = async (path: string, real: string): Promise<boolean> => {
    for (const ending of pictureEndings) {
      const beside = await realpath(`${stemOf(path)}.${ending}`).catch(() => undefined);
      if (beside !== undefined && stemOf(beside) === stemOf(real) && (await isPicture(beside))) return true;
    }
    return false;
  };
  const mayRead = async (path: string, real: string): Promise<boolean> => {
    try {
      const file = await openFile(path, { within: root });
      await file.close();
      return true;
    } catch (error) {
      if (!(error instanceof StableDiffusionError) || error.code !== 'file-unsafe') throw error;
      return liesWithItsPicture(path, real);
    }
  };
  return {
    async follow(name, path) {
      try {
        const real = await realpath(path);
        const kind = await whatIsAt(real);
        if (kind === 'folder') {
          // Also a link to a folder around the data set, or around the link itself.
          const around = [...folders, await realpath(dirname(path))];
          if (around.some((known) => isWithin(known, real)))
            return { reason: `${name} is a link to a folder that is read already, and is not followed.` };
          folders.push(real);
          return 'folder';
        }
        const follows = kind === 'file' && (isPictureName(name) ? await isPicture(real) : await mayRead(path, real));
        if (follows) return 'file';
        return {
          reason: isPictureName(name)
            ? `${name} is a link to what is no picture, and is not followed.`
            : `${name} is a link that leads out of the folder, and is not followed. Put the file itself there.`,
        };
      } catch (cause) {
        return { reason: `${name} is a link that is not followed: ${fileError(path, cause).message}` };
      }
    },
  };
}
