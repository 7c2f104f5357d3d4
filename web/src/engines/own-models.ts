/** Checkpoints from the person's disk. They are opened in this browser, and can be kept there. */

import { hasAdapter, toggled } from '../create/adapter-prompt.ts';
import { studio } from '../studio.ts';
import { BrowserEngine, type OwnModel } from './browser-engine.ts';
import { startBrowserEngine } from './choose-engine.ts';
import { isFull } from './model-store.ts';

/** Takes checkpoints and their YAML from the person's disk; they are used in this browser. */
export async function addModels(files: readonly File[]): Promise<void> {
  const left = await withoutAdapters(files);
  if (left.length > 0) await openModels(left);
}

/** Takes LoRAs and textual inversions, and says what else is no model; the rest may be models. */
async function withoutAdapters(files: readonly File[]): Promise<readonly File[]> {
  const left: File[] = [];
  for (const file of files) {
    const found = /\.ya?ml$/i.test(file.name) ? undefined : await (await import('./adapter-file.ts')).adapterKind(file);
    if (!found) left.push(file);
    else if (found.kind === 'other') studio.fail(found.text);
    else takeAdapter(file, found.kind, found.name);
  }
  return left;
}

/** A LoRA or a textual inversion: used in this browser; a server has its own. */
function takeAdapter(file: File, kind: 'lora' | 'embedding', name: string): void {
  const { engine } = studio.state;
  const [what, folder] = kind === 'lora' ? ['a LoRA', '--loras'] : ['a textual inversion', '--embeddings'];
  if (!(engine instanceof BrowserEngine)) {
    studio.fail(
      `${file.name} is ${what}. Put it into the server's folder for them (sd serve ${folder} DIR), then choose it under LoRAs.`,
    );
    return;
  }
  engine.addAdapter({ kind, name, file });
  const adapter = { kind, name, weight: 1 };
  studio.set({
    notice: {
      kind: 'info',
      text: `${file.name} is ${what}. It is ready: choose it under LoRAs.`,
      ...(hasAdapter(studio.state.settings.prompt, adapter)
        ? {}
        : {
            action: {
              label: 'Add to the prompt',
              run: () => studio.change({ prompt: toggled(studio.state.settings.prompt, adapter) }),
            },
          }),
    },
  });
}

async function openModels(files: readonly File[]): Promise<void> {
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
