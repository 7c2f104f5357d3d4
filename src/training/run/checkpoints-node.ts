/**
 * Checkpoints of a run: one .safetensors file with every tensor (network, averages, optimiser) and, in its metadata, the rest of the state.
 * One file is one rename, so a crash at any moment leaves the old one or the new one. `last.safetensors` is the newest; the best k by a
 * score are kept as links to what was `last` then, `best-00001200-0.123456.safetensors`.
 */

import { createHash } from 'node:crypto';
import { copyFile, link, readdir, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { StableDiffusionError } from '../../errors.ts';
import { fileError, openFile } from '../../files/byte-source-node.ts';
import { openSafetensors } from '../../formats/safetensors.ts';
import { type TensorProvider, writeSafetensors } from '../../formats/safetensors-write.ts';
import { bytesOf } from '../../tensor/tensor.ts';
import type { WeightEntry, WeightSource } from '../../weights/weight-source.ts';
import { makeFolder } from '../../files/make-folder-node.ts';
import { temporaryName } from '../../files/temporary-node.ts';
import { removeHalfWritten, writeFileAtomic } from '../../files/write-file-node.ts';

export interface CheckpointOptions {
  /** Number of best checkpoints to keep. Default 3. */
  readonly keepBest?: number;
  /** Keeps every checkpoint whose step is a multiple of it: `step-00010000.safetensors`. */
  readonly keepEvery?: number | undefined;
  /** Whether low or high scores are better. Default `lowest`. */
  readonly better?: 'lowest' | 'highest';
}

export interface CheckpointContent {
  /** Steps done. */
  readonly step: number;
  readonly entries: Iterable<WeightEntry>;
  /** Returns the tensor of an entry; called for one at a time. */
  readonly provide: TensorProvider;
  /** All ranks read the tensors, because each has a part of some. */
  readonly together?: boolean;
  /** Everything else needed to resume, as JSON: data order, generators, learning rate, epoch. */
  readonly state: unknown;
  /** Score for selecting the best; a checkpoint without one, or with NaN, is not considered. */
  readonly score?: number;
  /** Further notes for readers of the file, such as the network's configuration. */
  readonly metadata?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal;
}

export interface SavedCheckpoint {
  readonly path: string;
  readonly step: number;
  readonly state: unknown;
  /** Open; to be closed. */
  readonly weights: WeightSource;
}

export interface BestCheckpoint {
  readonly path: string;
  readonly step: number;
  readonly score: number;
}

export interface Checkpoints {
  /** Writes `last`, and keeps it among the best if it is one. Where writing fails (a full disk: `file-access`) the one before stays whole. */
  save(content: CheckpointContent): Promise<string>;
  /** `last`, or undefined if there is none. Throws `file-corrupt` or `file-truncated` if it is damaged, naming the other checkpoints. */
  last(): Promise<SavedCheckpoint | undefined>;
  /** The best first. */
  best(): Promise<readonly BestCheckpoint[]>;
}

const stepDigits = (step: number): string => String(step).padStart(8, '0');

const lastName = 'last.safetensors';

/** Opens a folder, creating it if needed, and removes partial files of a crash. */
export async function openCheckpoints(folder: string, options: CheckpointOptions = {}): Promise<Checkpoints> {
  const { keepBest = 3, better = 'lowest', keepEvery } = options;
  await makeFolder(folder);
  await removeHalfWritten(folder);

  const best = async (): Promise<BestCheckpoint[]> => {
    const found = (await readdir(folder)).flatMap((name): BestCheckpoint[] => {
      const parts = /^best-(\d+)-(-?[\d.]+(?:e[+-]?\d+)?)\.safetensors$/.exec(name);
      return parts ? [{ path: join(folder, name), step: Number(parts[1]), score: Number(parts[2]) }] : [];
    });
    return found.sort((a, b) => (better === 'lowest' ? a.score - b.score : b.score - a.score) || b.step - a.step);
  };

  const keep = async (step: number, score: number): Promise<void> => {
    const others = await best();
    const worst = others[keepBest - 1];
    if (worst && (better === 'lowest' ? score >= worst.score : score <= worst.score)) return;
    await keepAs(`best-${stepDigits(step)}-${Number(score.toPrecision(6))}.safetensors`);
    for (const { path } of (await best()).slice(keepBest)) await rm(path, { force: true });
  };

  const keepAs = async (name: string): Promise<void> => {
    // By way of a temporary name, because a copy, where links are not to be had, is not made at once.
    const temporary = join(folder, temporaryName());
    await rm(temporary, { force: true });
    await link(join(folder, lastName), temporary).catch(() => copyFile(join(folder, lastName), temporary));
    await rename(temporary, join(folder, name));
  };

  return {
    best,
    async save({ step, entries, provide, state, score, metadata = {}, signal }) {
      const path = join(folder, lastName);
      const notes = { ...metadata, step: String(step), state: JSON.stringify(state) };
      const options = signal ? { signal } : {};
      const sealed = withDigest(entries, provide, notes);
      await writeFileAtomic(
        path,
        writeSafetensors(sealed.entries, sealed.provide, { metadata: notes, ...options }),
        options,
      );
      if (score !== undefined && Number.isFinite(score) && keepBest > 0) {
        await keep(step, score).catch((cause: unknown) => {
          throw fileError(folder, cause);
        });
      }
      if (keepEvery !== undefined && step % keepEvery === 0)
        await keepAs(`step-${stepDigits(step)}.safetensors`).catch((cause: unknown) => {
          throw fileError(folder, cause);
        });
      return path;
    },
    async last() {
      const path = join(folder, lastName);
      const there = await stat(path).then(
        () => true,
        () => false,
      );
      return there
        ? verifiedCheckpoint(path).catch(async (cause: unknown) => {
            if (!(cause instanceof StableDiffusionError)) throw cause;
            const others = (await best()).map((checkpoint) => checkpoint.path).join(', ');
            throw new StableDiffusionError(
              cause.code,
              `${cause.message} The run cannot be resumed from it.${others === '' ? '' : ` Others are ${others}: rename one to ${lastName}.`}`,
              { cause },
            );
          })
        : undefined;
    },
  };
}

/** Opens one checkpoint, headers only. Throws what `openSafetensors` throws, and `file-corrupt` where it has no state. */
export async function openCheckpoint(path: string): Promise<SavedCheckpoint> {
  const weights = await openSafetensors(await openFile(path));
  const step = Number(weights.metadata?.get('step'));
  const state = stateOf(weights.metadata?.get('state'));
  if (!Number.isSafeInteger(step) || step < 0 || state === undefined) {
    await weights.close();
    throw new StableDiffusionError(
      'file-corrupt',
      `${path} is not a checkpoint of a run: its step or its state is missing or unreadable. Use training.init to start from a model.`,
    );
  }
  return { path, step, state, weights };
}

/** The state, which is an object; undefined where the note is not one. */
function stateOf(note: unknown): object | undefined {
  try {
    const value: unknown = JSON.parse(String(note));
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

/** The tensor with the digest of all others and of the notes: of the narrowest type, so that it is written last. */
const digestName = 'checkpoint.sha256';

const noted = ({ step, state }: { readonly step: unknown; readonly state: unknown }): string => `${step} ${state}`;

/** Entries followed by a digest, computed while the tensors are written. */
function withDigest(
  entries: Iterable<WeightEntry>,
  provide: TensorProvider,
  notes: { readonly step: string; readonly state: string },
): { readonly entries: readonly WeightEntry[]; readonly provide: TensorProvider } {
  const hash = createHash('sha256').update(noted(notes));
  const digest: WeightEntry = { name: digestName, dtype: 'uint8', shape: [32] };
  return {
    entries: [...entries, digest],
    async provide(entry) {
      if (entry.name === digestName)
        return { dtype: 'uint8', shape: digest.shape, data: new Uint8Array(hash.digest()) };
      const tensor = await provide(entry);
      hash.update(entry.name).update(bytesOf(tensor));
      return tensor;
    },
  };
}

/** `openCheckpoint`, and every byte read and compared with the digest. Throws `file-corrupt` where they differ. */
async function verifiedCheckpoint(path: string): Promise<SavedCheckpoint> {
  const checkpoint = await openCheckpoint(path);
  const { weights } = checkpoint;
  try {
    if (!weights.entries.has(digestName)) return checkpoint; // of an earlier version of this program
    const notes = { step: weights.metadata?.get('step'), state: weights.metadata?.get('state') };
    const hash = createHash('sha256').update(noted(notes));
    for (const name of weights.entries.keys())
      if (name !== digestName) hash.update(name).update(bytesOf(await weights.read(name)));
    if (!hash.digest().equals(bytesOf(await weights.read(digestName))))
      throw new StableDiffusionError('file-corrupt', `${path} is damaged: its bytes do not match its digest.`);
    return checkpoint;
  } catch (cause) {
    await weights.close();
    throw cause;
  }
}
