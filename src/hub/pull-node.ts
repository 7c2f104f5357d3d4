/** Brings a model by its name onto this machine, and gives its path: what is kept is not downloaded again. */

import { createHash } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { homedir } from 'node:os';
import { basename, join } from 'node:path';
import { StableDiffusionError } from '../errors.ts';
import { noteNow, openRegular, whatIsAt } from '../files/open-node.ts';
import { type Choice, chooseFiles } from './choose-files.ts';
import { civitaiFile } from './civitai-node.ts';
import { type DownloadProgress, download } from './download-node.ts';
import { authorization, fileAddress, hubRevision } from './hub-api-node.ts';
import type { HubFile } from './hub-file.ts';
import { keepRef, keptModels, knownCommit, linkBlob, type RepositoryCache, repositoryCache } from './hub-cache-node.ts';
import { type HubSettings, hubSettings } from './hub-settings.ts';
import { missingModel } from './missing-model-node.ts';
import { decoded, type ModelName, parseModelName } from './model-name.ts';

export interface PullOptions {
  /** Default: those of the process's environment. */
  readonly settings?: HubSettings | undefined;
  /** Variant of a diffusers repository, such as `fp16`. */
  readonly variant?: string | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((progress: DownloadProgress) => void) | undefined;
  /** Called once, before bytes are downloaded. */
  readonly onBegin?: ((what: { readonly name: string; readonly bytes: number | undefined }) => void) | undefined;
  /** Milliseconds before a further try. */
  readonly pause?: number | undefined;
}

/** The settings of this process. */
export function ownHubSettings(environment: Readonly<Record<string, string | undefined>> = process.env): HubSettings {
  return hubSettings(environment, homedir(), noteNow);
}

/**
 * The path of a model that is given by path or by name. What lies at the path counts first; a text that can only be a path is given back,
 * unless a file or a name is near that may be meant.
 * @throws `file-not-found`, `not-found`, `forbidden`, `network`, `file-corrupt`, `invalid-argument`, `aborted`
 */
export async function modelPath(given: string, options: PullOptions = {}): Promise<string> {
  if ((await whatIsAt(given)) !== undefined) return given;
  const name = parseModelName(given);
  const mayBePath = name === undefined || (name.kind === 'hub' && given === name.repository);
  if (!mayBePath) return pullModel(name, given, options);
  const missing = await missingModel(given);
  if (missing) throw missing;
  if (name === undefined) return given;
  return pullModel(name, given, options).catch((error: unknown) => {
    // `a/b` may have been meant as a path.
    if (!(error instanceof StableDiffusionError) || !['not-found', 'forbidden', 'network'].includes(error.code))
      throw error;
    throw new StableDiffusionError(error.code, `${given} is not a file or folder here. ${error.message}`, {
      cause: error,
      details: error.details,
    });
  });
}

/** Downloads what is not kept yet; resolves to the path of the model's file or folder. */
export async function pullModel(name: ModelName, label: string, options: PullOptions = {}): Promise<string> {
  const settings = options.settings ?? ownHubSettings();
  if (name.kind === 'hub') return pullFromHub(name, label, settings, options);
  if (name.kind === 'civitai') return pullFromCivitai(name.version, label, settings, options);
  return pullAddress(name.url, settings, options);
}

async function pullFromHub(
  name: Extract<ModelName, { kind: 'hub' }>,
  label: string,
  settings: HubSettings,
  options: PullOptions,
): Promise<string> {
  const { repository, revision, file } = name;
  const cache = repositoryCache(settings.cache, repository);
  const commit = await knownCommit(cache, revision);
  const kept = commit === undefined ? undefined : await keptPath(cache, repository, commit, name, options.variant);
  // A commit never changes.
  if (kept !== undefined && (settings.offline || commit === revision)) return kept;
  if (settings.offline)
    throw new StableDiffusionError(
      'not-found',
      `${label} is not in ${settings.cache}, and HF_HUB_OFFLINE is set. Download it with: sd pull ${label}`,
    );
  let found: Awaited<ReturnType<typeof hubRevision>>;
  try {
    found = await hubRevision(repository, revision, settings, options.signal);
  } catch (error) {
    // Without a network, what is kept serves as well.
    if (kept !== undefined && error instanceof StableDiffusionError && error.code === 'network') return kept;
    throw error;
  }
  const choice = chooseFiles(repository, found.files, { file, variant: options.variant });
  await fetchFiles(cache, choice, { repository, commit: found.commit, label }, settings, options);
  await keepRef(cache, revision, found.commit);
  return join(cache.snapshot(found.commit), choice.open);
}

/** The path of a model in the cache, if it is complete. */
async function keptPath(
  cache: RepositoryCache,
  repository: string,
  commit: string,
  { file }: Extract<ModelName, { kind: 'hub' }>,
  variant: string | undefined,
): Promise<string | undefined> {
  const snapshot = cache.snapshot(commit);
  if (file !== undefined)
    return (await whatIsAt(join(snapshot, file))) === undefined ? undefined : join(snapshot, file);
  const all = (await keptModels(join(cache.folder, '..'))).find((model) => model.repository === repository);
  const names = all?.revisions.find((revision) => revision.commit === commit)?.files ?? [];
  try {
    const files = names.map((path) => ({ path, size: 0, etag: '' }));
    return join(snapshot, chooseFiles(repository, files, { variant }).open);
  } catch {
    return undefined;
  }
}

interface Wanted {
  readonly repository: string;
  readonly commit: string;
  readonly label: string;
}

async function fetchFiles(
  cache: RepositoryCache,
  { files }: Choice,
  { repository, commit, label }: Wanted,
  settings: HubSettings,
  options: PullOptions,
): Promise<void> {
  const isKept = async ({ etag }: HubFile): Promise<boolean> => (await whatIsAt(cache.blob(etag))) === 'file';
  const missing: HubFile[] = [];
  for (const file of files)
    if (!(await isKept(file)) && (await whatIsAt(join(cache.snapshot(commit), file.path))) !== 'file')
      missing.push(file);
  if (missing.length > 0) options.onBegin?.({ name: label, bytes: missing.reduce((sum, { size }) => sum + size, 0) });
  for (const { path, etag, size } of missing)
    await download(
      {
        url: fileAddress(settings, repository, commit, path),
        headers: authorization(settings.token),
        path: cache.blob(etag),
        lock: cache.lock(etag),
        label: `${repository}/${path}`,
        size,
        digest: etag,
      },
      { ...options, fetch: settings.fetch },
    );
  for (const file of files)
    if (await isKept(file)) await linkBlob(cache.blob(file.etag), join(cache.snapshot(commit), file.path));
}

async function pullFromCivitai(
  version: number,
  label: string,
  settings: HubSettings,
  options: PullOptions,
): Promise<string> {
  const folder = join(settings.ownCache, 'civitai', String(version));
  const note = join(folder, 'name.txt');
  const known = await nameIn(note);
  if (known !== undefined && (await whatIsAt(join(folder, known))) === 'file') return join(folder, known);
  if (settings.offline) throw new StableDiffusionError('not-found', `${label} is not kept, and HF_HUB_OFFLINE is set.`);
  const file = await civitaiFile(version, settings, options.signal);
  const path = join(folder, file.name);
  options.onBegin?.({ name: `${label} (${file.what})`, bytes: undefined });
  await download(
    {
      url: file.url,
      from: settings.civitaiEndpoint,
      headers: isCivitai(file.url, settings) ? authorization(settings.civitaiToken) : {},
      path,
      lock: join(folder, '.lock'),
      label: file.name,
      digest: file.sha256,
    },
    { ...options, fetch: settings.fetch },
  );
  const { writeText } = await import('../files/write-file-node.ts');
  await writeText(note, file.name);
  return path;
}

/** The key of Civitai goes to Civitai alone. */
function isCivitai(url: string, { civitaiEndpoint }: HubSettings): boolean {
  const { origin } = new URL(url);
  return origin === new URL(civitaiEndpoint).origin || origin === 'https://civitai.com';
}

/** Servers of single-page applications answer every address with their page. */
async function removePage(path: string): Promise<void> {
  const { readTextIfThere } = await import('../files/open-node.ts');
  const text = await readTextIfThere('configuration', path).catch(() => '<');
  if (text !== undefined && /^\s*</.test(text)) await rm(path, { force: true });
}

async function nameIn(path: string): Promise<string | undefined> {
  const { readTextIfThere } = await import('../files/open-node.ts');
  const name = (await readTextIfThere('note', path))?.trim();
  return name === undefined || name === '' || /[/\\\0]/.test(name) ? undefined : name;
}

/** The last part of an address as the name of a file. */
function fileNameOf(pathname: string): string {
  const name = basename(decoded(pathname)).replace(/[\0\\/:]/g, '_');
  return name === '' || name === '.' || name === '..' ? 'model.safetensors' : name.slice(-100);
}

/** A file from any address, cached under the address's digest, along with `NAME.yaml` next to it. */
async function pullAddress(url: string, settings: HubSettings, options: PullOptions): Promise<string> {
  const { pathname } = new URL(url);
  const name = fileNameOf(pathname);
  const folder = join(settings.ownCache, 'addresses', createHash('sha256').update(url).digest('hex').slice(0, 24));
  const path = join(folder, name);
  if ((await whatIsAt(path)) === 'file') return path;
  if (settings.offline) throw new StableDiffusionError('not-found', `${url} is not kept, and HF_HUB_OFFLINE is set.`);
  options.onBegin?.({ name: url, bytes: undefined });
  const common = { ...options, fetch: settings.fetch };
  const yaml = url.replace(/\.(?:safetensors|ckpt|pt|pth|bin|gguf)(?=$|[?#])/i, '.yaml');
  if (yaml !== url)
    await download(
      {
        url: yaml,
        path: join(folder, name.replace(/\.[^.]+$/, '.yaml')),
        lock: join(folder, '.yaml.lock'),
        label: yaml,
        mostBytes: 2 ** 22,
      },
      common,
    ).catch((error: unknown) => {
      if (!(error instanceof StableDiffusionError) || error.code === 'aborted') throw error;
    });
  await removePage(join(folder, name.replace(/\.[^.]+$/, '.yaml')));
  await download({ url, path, lock: join(folder, '.lock'), label: url }, common);
  await (await openRegular(path)).handle.close();
  return path;
}
