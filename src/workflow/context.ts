/**
 * WorkflowContext: what nodes reach outside their inputs: files by kind and name, an engine with the networks compiled on it, an image
 * codec. One context serves many runs, one after another. `context-node.ts` makes one of folders on disk.
 */

import type { Checkpoint } from '../checkpoints/checkpoint.ts';
import type { DetectedNetwork } from '../checkpoints/detect.ts';
import type { Frames } from '../image/codec/frames.ts';
import type { ImageCodec } from '../image/codec/codec.ts';
import type { WeightSource } from '../weights/weight-source.ts';
import type { FolderKind } from './folder-kinds.ts';
import type { NameLists } from './input-spec.ts';
import type { NetworkPool } from './network-pool.ts';

/** The folders of pictures: what the graph reads, what it keeps, and what it only shows. */
export type PictureFolder = 'input' | 'output' | 'temp';

/** Where the next file of a prefix goes. */
export interface FilePlace {
  /** Folder inside, with `/`; empty for the folder itself. */
  readonly subfolder: string;
  /** The prefix without its folder; files are called `NAME_00001_.png`. */
  readonly name: string;
  /** One above the highest number among the files of that name. */
  readonly counter: number;
}

/** How ComfyUI names a file to its clients. */
export interface FileReference {
  readonly filename: string;
  readonly subfolder: string;
  readonly type: PictureFolder;
}

/** A file whole, or in chunks. */
export type FileBytes = Uint8Array | AsyncIterable<Uint8Array>;

export interface WorkflowFiles {
  /** The names of all kinds, read now. */
  lists(): Promise<NameLists>;
  /** Opens a model's file. Throws `not-found` for a name that is not listed. The caller closes it. */
  weights(kind: FolderKind, name: string): Promise<WeightSource>;
  /** Opens a whole model, as it describes itself or as a file of the folder `configs` does. Throws as `weights`, and what opening it throws. */
  checkpoint(kind: FolderKind, name: string, config?: string): Promise<Checkpoint>;
  /** The one network of a file: a UNet, a text encoder, an autoencoder, a control network. Throws as `weights`, and `model-unknown`. */
  network(kind: FolderKind, name: string): Promise<DetectedNetwork>;
  /** Reads a picture or latent of that name. Throws `file-not-found`, `file-unsafe` for a name that leaves its folder. */
  read(name: string): Promise<Uint8Array>;
  /** A text that differs where the file's bytes do. */
  digest(name: string): Promise<string>;
  /** The place of the next file. `%width%`, `%height%`, `%year%` … in the prefix are replaced. Throws `forbidden` for a prefix that leaves the folder. */
  place(
    folder: PictureFolder,
    prefix: string,
    size?: { readonly width: number; readonly height: number },
  ): Promise<FilePlace>;
  /** Writes a file at a place. Chunks are written one by one as they come. */
  write(folder: PictureFolder, subfolder: string, filename: string, bytes: FileBytes): Promise<FileReference>;
}

export interface WorkflowContext {
  readonly files: WorkflowFiles;
  readonly networks: NetworkPool;
  readonly codec: ImageCodec;
  /** Every frame of a picture, with its transparency. */
  readonly decodeFrames: (bytes: Uint8Array) => Promise<Frames>;
  /** Weights of text encoders stay as they are; by default they are rounded to float16, as ComfyUI keeps them. */
  readonly fullTextEncoder?: boolean | undefined;
  /** Leave the workflow out of pictures. Default false. */
  readonly withoutMetadata?: boolean | undefined;
  /** Today's date, for names of files. */
  readonly now: () => Date;
}
