/** ModelPool: a bounded number of loaded models, each with its LoRAs; the least recently used one is evicted. */

import { dirname, sep } from 'node:path';
import { StableDiffusionError } from '../../errors.ts';
import type { CheckpointFacts } from '../../model/checkpoint-facts.ts';
import { checkpointFactsAt } from '../../model/checkpoint-facts-node.ts';
import type { Model } from '../../model/model.ts';
import type { LoraUse } from '../extra-networks.ts';
import type { CatalogModel, ModelCatalog } from './model-catalog.ts';

export interface LoadedModel {
  readonly model: Model;
  readonly entry: CatalogModel;
  /** Call it when done with the model. */
  release(): void;
}

export interface ModelPool {
  /** A model to work with, with LoRAs and with an autoencoder of the catalogue in place of its own; loads it where it is not. Errors as `loadModel`. */
  acquire(name: string, loras?: readonly LoraUse[], vae?: string): Promise<LoadedModel>;
  /** Facts that are needed to accept a job for it; the model is not loaded. */
  facts(name: string, vae?: string): Promise<CheckpointFacts>;
  /** Drops the models that nobody uses. */
  unload(): Promise<void>;
  loaded(): readonly string[];
  close(): Promise<void>;
}

export interface ModelPoolOptions {
  readonly catalog: ModelCatalog;
  readonly load: (path: string, loras: readonly LoraUse[], vae: string | undefined) => Promise<Model>;
  /** Path of an autoencoder of the catalogue. Default: there are none. */
  readonly pathOfVae?: (name: string) => string;
  /** Called before a model is disposed of. */
  readonly onDrop?: ((model: Model) => Promise<void>) | undefined;
  /** Maximum number of loaded models. Default 2. */
  readonly capacity?: number;
}

interface Slot {
  readonly name: string;
  readonly model: Promise<Model>;
  users: number;
  lastUse: number;
}

/** Callers see a file's name, not its folder. */
function withoutFolder(error: unknown, folder: string): unknown {
  if (!(error instanceof StableDiffusionError)) return error;
  return new StableDiffusionError(error.code, error.message.replaceAll(folder + sep, ''), {
    cause: error,
    details: error.details,
  });
}

export function createModelPool({ catalog, load, pathOfVae, onDrop, capacity = 2 }: ModelPoolOptions): ModelPool {
  const slots = new Map<string, Slot>();
  const known = new Map<string, Promise<CheckpointFacts>>();
  let uses = 0;
  const drop = async (key: string, slot: Slot): Promise<void> => {
    slots.delete(key);
    await slot.model.then(
      async (model) => {
        await onDrop?.(model);
        await model.dispose();
      },
      () => {},
    );
  };
  const idle = (): [string, Slot][] =>
    [...slots].filter(([, slot]) => slot.users === 0).sort(([, a], [, b]) => a.lastUse - b.lastUse);
  const makeRoom = async (): Promise<void> => {
    for (const [key, slot] of idle().slice(0, Math.max(0, slots.size - capacity))) await drop(key, slot);
  };
  const vaePath = (name: string | undefined): string | undefined =>
    name === undefined ? undefined : pathOfVae?.(name);
  const acquire = async (name: string, loras: readonly LoraUse[] = [], vae?: string): Promise<LoadedModel> => {
    const entry = catalog.find(name);
    const path = catalog.pathOf(entry);
    const key = JSON.stringify([path, loras, vae]);
    const slot = slots.get(key) ?? {
      name: entry.name,
      model: load(path, loras, vaePath(vae)).catch((error: unknown) =>
        Promise.reject(withoutFolder(error, dirname(path))),
      ),
      users: 0,
      lastUse: 0,
    };
    slots.set(key, slot);
    slot.users++;
    slot.lastUse = ++uses;
    try {
      const model = await slot.model;
      await makeRoom();
      let released = false;
      return {
        model,
        entry,
        release: () => {
          if (!released) slot.users--;
          released = true;
        },
      };
    } catch (error) {
      slot.users--;
      if (slots.get(key) === slot) slots.delete(key);
      throw error;
    }
  };
  return {
    acquire,
    facts(name, vae) {
      const path = catalog.pathOf(catalog.find(name));
      const key = JSON.stringify([path, vae]);
      const found =
        known.get(key) ??
        checkpointFactsAt(path, vaePath(vae)).catch((error: unknown) => {
          known.delete(key);
          throw withoutFolder(error, dirname(path));
        });
      known.set(key, found);
      return found;
    },
    async unload() {
      for (const [key, slot] of idle()) await drop(key, slot);
    },
    loaded: () => [...slots.values()].map(({ name }) => name),
    async close() {
      for (const [key, slot] of [...slots]) await drop(key, slot);
    },
  };
}
