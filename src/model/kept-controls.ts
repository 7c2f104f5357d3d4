/**
 * Control models that stay open and compiled between the runs of a model. Those that were not used for longest are closed when all take more
 * bytes than a limit; those of a model are closed before the model.
 */

import type { ControlModel } from './control-model.ts';
import type { DenoisingModel } from './extended-denoiser.ts';

/** A control model that is in use until it is released. */
export interface ControlLease {
  readonly control: ControlModel;
  /** Throws nothing; a second call has no effect. */
  release(): void;
}

export interface KeptControls extends AsyncDisposable {
  /** The control model of this key for a model, which `open` opens where it is not kept. Throws what `open` throws. */
  acquire(model: DenoisingModel, key: string, open: () => Promise<ControlModel>): Promise<ControlLease>;
  /** Closes those of a model. Call it before the model is disposed of. */
  release(model: DenoisingModel): Promise<void>;
}

interface Kept {
  readonly model: DenoisingModel;
  readonly key: string;
  readonly opened: Promise<ControlModel>;
  bytes: number;
  users: number;
}

/** `limit`: bytes of float32 weights that stay open without being in use. */
export function createKeptControls({ limit }: { readonly limit: number }): KeptControls {
  /** In the order of their last use. */
  const kept = new Set<Kept>();
  const close = async (one: Kept): Promise<void> => {
    kept.delete(one);
    await one.opened.then(
      (control) => control.dispose(),
      () => {},
    );
  };
  const makeRoom = async (): Promise<void> => {
    let sum = [...kept].reduce((all, { bytes }) => all + bytes, 0);
    for (const one of [...kept]) {
      if (sum <= limit) return;
      if (one.users > 0) continue;
      sum -= one.bytes;
      await close(one);
    }
  };
  return {
    async acquire(model, key, open) {
      const known = [...kept].find((one) => one.model === model && one.key === key);
      const one = known ?? { model, key, opened: open(), bytes: 0, users: 0 };
      kept.delete(one);
      kept.add(one);
      one.users++;
      try {
        const control = await one.opened;
        one.bytes = control.bytes;
        await makeRoom();
        let released = false;
        return {
          control,
          release() {
            if (!released) one.users--;
            released = true;
          },
        };
      } catch (error) {
        kept.delete(one);
        throw error;
      }
    },
    async release(model) {
      for (const one of [...kept]) if (one.model === model) await close(one);
    },
    async [Symbol.asyncDispose]() {
      for (const one of [...kept]) await close(one);
    },
  };
}
