/** Our server as ComfyUI's in a recording: a folder with the recorded models and input pictures, and requests sent to it. */

import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { type RunningServer, type ServeOptions, startServer } from '../../../src/server/server.ts';

export interface RecordedFolders {
  /** The set's folder. */
  readonly setFolder: string;
  /** Names of model files by kind, as the recording lists them, with their sizes where it tells them. */
  readonly models: ReadonlyMap<string, readonly { readonly name: string; readonly size?: number | undefined }[]>;
  /** Names of the input pictures; all of the set's where it does not list them. */
  readonly inputs?: readonly string[] | undefined;
}

export interface ComfyServer {
  readonly url: string;
  readonly folder: string;
  stop(): Promise<void>;
}

/** A file that the recording's server had and no case opens: of the size that it had, without its content. */
function standIn(path: string, size = 7): void {
  writeFileSync(path, 'broken\n');
  truncateSync(path, size);
}

function makeModels(root: string, { setFolder, models }: RecordedFolders): void {
  for (const [kind, files] of models) {
    for (const { name, size } of files) {
      const [from, to] = [join(setFolder, 'models', kind, name), join(root, 'models', kind, name)];
      mkdirSync(dirname(to), { recursive: true });
      if (existsSync(from)) copyFileSync(from, to);
      else standIn(to, size);
    }
  }
}

/** Starts a server with the recording's models and input pictures in a folder of its own. */
export async function startComfyServer(
  folders: RecordedFolders,
  options: Partial<ServeOptions> = {},
): Promise<ComfyServer> {
  const folder = mkdtempSync(join(tmpdir(), 'sd-comfyui-'));
  const files = join(folder, 'files');
  mkdirSync(join(files, 'input'), { recursive: true });
  const inputs = join(folders.setFolder, 'input');
  for (const name of folders.inputs ?? (existsSync(inputs) ? readdirSync(inputs) : []))
    copyFileSync(join(inputs, name), join(files, 'input', name));
  makeModels(folder, folders);
  const checkpoints = join(folder, 'models/checkpoints');
  const server: RunningServer = await startServer({
    model: join(checkpoints, 'sd1.safetensors'),
    modelsFolder: checkpoints,
    comfyuiModels: join(folder, 'models'),
    comfyuiFiles: files,
    dataFolder: join(folder, 'data'),
    port: 0,
    threads: 1,
    logLevel: 'silent',
    // As ComfyUI's greatest upload.
    limits: { bodyBytes: 104_857_600 },
    ...options,
  });
  return {
    url: server.url,
    folder,
    async stop() {
      await server.stop(0);
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** A picture that the recording's server had written before. */
export function standInPicture({ folder }: ComfyServer, name: string): void {
  mkdirSync(join(folder, 'files/output'), { recursive: true });
  standIn(join(folder, 'files/output', name));
}
