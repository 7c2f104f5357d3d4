/** Checkpoints from the person's disk. They are opened in this browser, and can be kept there. */

import { studio } from '../studio.ts';
import { BrowserEngine, type OwnModel } from './browser-engine.ts';
import { startBrowserEngine } from './choose-engine.ts';
import { isFull } from './model-store.ts';

/** Takes checkpoints and their YAML from the person's disk; they are used in this browser. */
export async function addModels(files: readonly File[]): Promise<void> {
  const configs = files.filter(({ name }) => /\.ya?ml$/i.test(name));
  const checkpoints = files.filter(({ name }) => !/\.ya?ml$/i.test(name));
  const stem = (name: string): string => name.replace(/\.[^.]+$/, '');
  const refusal =
    checkpoints.length === 0
      ? 'A YAML describes a checkpoint: drop both together.'
      : studio.isBusy
        ? 'A picture is being generated. Stop it, or wait until it is done.'
        : undefined;
  if (refusal) return studio.fail(refusal);
  const used = studio.state.engine instanceof BrowserEngine ? studio.state.engine : undefined;
  const engine = used ?? (await startBrowserEngine(studio.state.choice));
  for (const file of checkpoints) {
    const config =
      configs.find(({ name }) => stem(name) === stem(file.name)) ?? (checkpoints.length === 1 ? configs[0] : undefined);
    const model: OwnModel = { name: file.name, file, ...(config ? { config: await config.text() } : {}) };
    engine.add(model);
    studio.set({ notice: { kind: 'info', text: `Opening ${file.name} …` } });
    try {
      const facts = await engine.open(file.name, () => {});
      studio.changeTo(engine);
      studio.chooseModel(file.name);
      studio.set({
        notice: {
          kind: 'info',
          text: `${file.name} is open (${facts.nativeSize} × ${facts.nativeSize}).${facts.assumed.length > 0 ? ` Assumed: ${facts.assumed.join('; ')}.` : ''}`,
          action: { label: 'Keep it in this browser', run: () => void keepModel(engine, file.name) },
        },
      });
    } catch (error) {
      engine.forget(file.name);
      studio.fail((error as Error).message);
    }
  }
  // None of them could be opened; nothing has changed.
  if (studio.state.engine !== engine) engine.dispose();
}

/** Keeps a checkpoint that was added, in the browser. */
async function keepModel(engine: BrowserEngine, name: string): Promise<void> {
  try {
    await engine.keep(name, (share) =>
      studio.set({ notice: { kind: 'info', text: `Keeping ${name}: ${Math.round(share * 100)} %` } }),
    );
    studio.set({ notice: { kind: 'info', text: `${name} is kept in this browser.` } });
  } catch (error) {
    studio.fail(
      `${name} could not be kept: ${isFull(error) ? "this browser's storage is full. It can be used until the page is closed." : (error as Error).message}`,
    );
  }
}
