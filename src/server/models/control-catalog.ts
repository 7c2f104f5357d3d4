/**
 * ControlCatalog: control networks, and the networks that they need besides, in the operator's folders. Control networks go by their files'
 * names; image encoders and the networks of preprocessors are found by what their files hold. Callers never see or give a path.
 */

import { createHash } from 'node:crypto';
import { stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { StableDiffusionError } from '../../errors.ts';
import { openRegular } from '../../files/open-node.ts';
import { type FolderEntry, folderEntries } from './folder-entries.ts';
import { type ControlFileFacts, controlFacts, type HelperFacts, helperFacts } from './control-facts.ts';

export interface CatalogControl {
  /** The file's name without its ending. */
  readonly name: string;
  /** As sd-webui-controlnet prints it: the name, and eight digits of A1111's old hash; a folder has none. */
  readonly title: string;
}

/** The image encoder of a control network. */
export interface ControlEncoder {
  /** For loading only. */
  readonly path: string;
  /** Pixels of the square that it takes. */
  readonly side: number;
}

export interface ControlCatalog {
  list(): readonly CatalogControl[];
  /** By title, name, or a part of the name, as the extension looks for one. Throws `not-found`. */
  find(name: string): CatalogControl;
  /** What a control network's file holds. Throws what its reader throws. */
  facts(control: CatalogControl): Promise<ControlFileFacts>;
  /** For loading only. */
  pathOf(control: CatalogControl): string;
  /** The file of a preprocessor's network, by its kind; undefined if no folder has one. */
  annotatorPath(kind: string): string | undefined;
  /** The image encoder that a control network takes. Throws `not-found`. */
  encoderFor(facts: ControlFileFacts): ControlEncoder;
  /** Rescans the folders. */
  refresh(): Promise<void>;
}

export interface ControlCatalogOptions {
  readonly controlFolders?: readonly string[] | undefined;
  /** Folders of preprocessors' networks and of image encoders. */
  readonly annotatorFolders?: readonly string[] | undefined;
}

type HelperFile = HelperFacts & { readonly path: string };

const endings = new Set(['.safetensors', '.pt', '.pth', '.bin', '.ckpt']);

/** Files whose contents are looked at: a folder that is given by mistake is not read whole. */
const mostHelpers = 200;

async function isDiffusersFolder(path: string): Promise<boolean> {
  return stat(join(path, 'config.json')).then(
    (found) => found.isFile(),
    () => false,
  );
}

/** A1111's old hash of a file: of 64 KiB of it. */
async function shortHash(path: string): Promise<string | undefined> {
  const found = await stat(path).catch(() => undefined);
  if (!found?.isFile()) return undefined;
  const { handle } = await openRegular(path);
  try {
    const part = new Uint8Array(0x10000);
    const { bytesRead } = await handle.read(part, 0, part.length, 0x100000);
    return createHash('sha256').update(part.subarray(0, bytesRead)).digest('hex').slice(0, 8);
  } finally {
    await handle.close();
  }
}

type Found = CatalogControl & { readonly path: string };

async function entriesOf(folders: readonly string[], what: string): Promise<FolderEntry[]> {
  const all = await Promise.all(
    folders.map((folder) => folderEntries(folder, { endings, also: isDiffusersFolder, what })),
  );
  return all.flat();
}

async function foundControl({ file, path }: FolderEntry): Promise<Found> {
  const name = basename(file).replace(/\.(safetensors|pt|pth|bin|ckpt)$/i, '');
  const hash = await shortHash(path);
  return { name, path, title: hash === undefined ? name : `${name} [${hash}]` };
}

/** Of two files with one name the first counts, as there. */
function firstOfEachName(entries: readonly Found[]): Found[] {
  const names = new Map<string, Found>();
  for (const entry of entries) if (!names.has(entry.name.toLowerCase())) names.set(entry.name.toLowerCase(), entry);
  return [...names.values()].filter(({ name }) => name !== 'None').sort((a, b) => (a.name < b.name ? -1 : 1));
}

function unknown(name: string, known: readonly CatalogControl[]): StableDiffusionError {
  const names = known.map((one) => one.name).join(', ');
  return new StableDiffusionError(
    'not-found',
    `Unknown control model ${JSON.stringify(name.slice(0, 200))}. ${names === '' ? 'The server has none: its operator can give a folder of them with --control-models.' : `Available: ${names}.`}`,
  );
}

/** Throws `file-not-found`. */
export async function openControlCatalog({
  controlFolders = [],
  annotatorFolders = [],
}: ControlCatalogOptions): Promise<ControlCatalog> {
  let controls: readonly Found[] = [];
  let helpers: readonly HelperFile[] = [];
  const known = new Map<string, Promise<ControlFileFacts>>();
  const pathOf = ({ name }: CatalogControl): string =>
    controls.find((one) => one.name === name)?.path ?? controls[0]?.path ?? '';
  const catalog: ControlCatalog = {
    list: () => controls.map(({ name, title }) => ({ name, title })),
    find(given) {
      const wanted = given
        .trim()
        .replace(/ \[[0-9a-f]{8}\]$/i, '')
        .toLowerCase();
      const match =
        controls.find(({ name }) => name.toLowerCase() === wanted) ??
        controls.find(({ name }) => wanted !== '' && name.toLowerCase().startsWith(wanted));
      if (!match) throw unknown(given, controls);
      return { name: match.name, title: match.title };
    },
    facts(control) {
      const path = pathOf(control);
      const pending = known.get(path) ?? controlFacts(path);
      known.set(path, pending);
      pending.catch(() => known.delete(path));
      return pending;
    },
    pathOf,
    annotatorPath: (kind) => helpers.find((one) => one.kind === kind)?.path,
    encoderFor({ title, encoderWidth: wanted }) {
      const found = helpers.find(({ encoder }) => wanted && encoder?.[wanted.of] === wanted.width);
      if (found?.encoder) return { path: found.path, side: found.encoder.side };
      throw new StableDiffusionError(
        'not-found',
        `This ${title} needs CLIP's image encoder of ${wanted?.width} values, and the server has none. Its operator can put the file into a folder of --annotators.`,
      );
    },
    async refresh() {
      controls = firstOfEachName(
        await Promise.all((await entriesOf(controlFolders, 'control models')).map(foundControl)),
      );
      const files = (await entriesOf(annotatorFolders, "preprocessors' networks")).slice(0, mostHelpers);
      const read: HelperFile[] = [];
      for (const { path } of files) {
        const facts = await helperFacts(path);
        if (facts) read.push({ ...facts, path });
      }
      helpers = read;
      known.clear();
    },
  };
  await catalog.refresh();
  return catalog;
}
