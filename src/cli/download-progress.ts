/** Downloads of models as a person sees them: what is downloaded and how large it is, then a bar. */

import type { PullOptions } from '../hub/pull-node.ts';
import type { CliContext } from './command.ts';
import { createProgress } from './progress.ts';

/** Milliseconds between two changes of the bar. */
const pause = 200;

/** `4.27 GB`, `9.8 MB`. */
export const sizeText = (bytes: number): string =>
  bytes >= 1e9 ? `${(bytes / 1e9).toFixed(2)} GB` : `${(bytes / 1e6).toFixed(1)} MB`;

/** The path of a model that an option names by path or by name; undefined stays so. */
export async function namedModelPath(context: CliContext, given: string | undefined): Promise<string | undefined> {
  if (given === undefined) return undefined;
  const { modelPath } = await import('../hub/pull-node.ts');
  return modelPath(given, await pullOptions(context, { quiet: false }));
}

/** Download options for `modelPath` and `loadModel`: announces a download, shows its progress, and stops at Ctrl-C. */
export async function pullOptions(
  { err, now, signal, environment }: CliContext,
  { quiet, variant }: { readonly quiet: boolean; readonly variant?: string | undefined },
): Promise<PullOptions> {
  const { ownHubSettings } = await import('../hub/pull-node.ts');
  const progress = createProgress(err, now, quiet);
  let shown = 0;
  return {
    settings: ownHubSettings(environment),
    signal,
    variant,
    onBegin({ name, bytes }) {
      if (!quiet)
        err.write(`sd: Downloading ${name}${bytes === undefined ? '' : ` (${sizeText(bytes)})`}. It is kept.\n`);
    },
    onProgress({ label, done, total }) {
      if (done !== total && now() - shown < pause) return;
      shown = now();
      if (done === total) progress.clear();
      else if (total === undefined) progress.stage(`${label} ${sizeText(done)}`);
      else progress.step(label, Math.floor(done / 1e6), Math.ceil(total / 1e6));
    },
  };
}
