/**
 * Names for the tensors of a pickled object, and its other values as metadata.
 *
 * A checkpoint is a dict that holds a dict of tensors, mostly under `state_dict`; textual inversions and other files nest otherwise.
 * The walk has a limit, because references make trees of any size out of small pickles.
 */

import { StableDiffusionError } from '../../errors.ts';
import { describeValue, type PythonObject, type PythonValue } from './python-value.ts';
import { isKind } from './globals.ts';
import type { TorchTensor } from './python-value.ts';
import type { MetadataValue } from '../../weights/weight-source.ts';

export interface NamedTensors {
  readonly tensors: ReadonlyMap<string, TorchTensor>;
  readonly metadata: ReadonlyMap<string, MetadataValue>;
}

/** Keys under which programs put the weights when these are the only tensors: Lightning, DataParallel, BasicSR, fairseq. */
const wrappers: ReadonlySet<string> = new Set([
  'state_dict',
  'model',
  'module',
  'model_state_dict',
  'params',
  'params_ema',
  'weights',
  'net',
  'generator',
]);

const maximumNodes = 1_000_000;
const maximumDepth = 64;
const metadataNodes = 10_000;
const metadataDepth = 12;

type Children = readonly (readonly [string, PythonValue])[];

/**
 * The tensors below `root`. A `state_dict` that holds tensors is taken alone, its keys are the names; so is a wrapper that holds all
 * tensors there are. Otherwise every tensor is named by its path, joined with "/". Throws `file-corrupt` if there is no tensor.
 */
export function nameTensors(label: string, root: PythonValue): NamedTensors {
  const holders = findHolders(root);
  if (!holders(root)) {
    throw new StableDiffusionError(
      'file-corrupt',
      `${label} holds no tensors: its pickle is ${describeValue(root)}. It is not a checkpoint.`,
    );
  }
  const metadata = new Map<string, MetadataValue>();
  const note = (children: Children) => {
    const budget = { nodes: metadataNodes };
    for (const [key, value] of children) if (!holders(value)) metadata.set(key, toMetadata(value, 0, budget));
  };

  let holder = root;
  const entered = new Set<PythonValue>([root]);
  for (;;) {
    const children = childrenOf(holder);
    note(children);
    const full = children.filter(([, value]) => holders(value));
    const only = full.length === 1 && full[0] && wrappers.has(full[0][0]) ? full[0] : undefined;
    const inner = (full.find(([key]) => key === 'state_dict') ?? only)?.[1];
    if (inner === undefined || isKind(inner, 'tensor') || entered.has(inner)) break;
    entered.add(inner);
    holder = inner;
  }

  const tensors = new Map<string, TorchTensor>();
  const path = new Set<PythonValue>();
  let nodes = 0;
  const walk = (value: PythonValue, name: string): void => {
    if (nodes > maximumNodes || path.size > maximumDepth) {
      throw new StableDiffusionError(
        'file-unsafe',
        `${label}: its pickle refers to its own parts so often that it has over ${maximumNodes} values or ${maximumDepth} levels. It is refused.`,
      );
    }
    if (isKind(value, 'tensor')) {
      if (tensors.has(name))
        throw new StableDiffusionError('file-corrupt', `${label} has two tensors called ${JSON.stringify(name)}.`);
      tensors.set(name, value);
    } else if (!path.has(value)) {
      path.add(value);
      const children = childrenOf(value);
      nodes += children.length;
      for (const [key, child] of children) if (holders(child)) walk(child, value === holder ? key : `${name}/${key}`);
      path.delete(value);
    }
  };
  walk(holder, isKind(holder, 'tensor') ? 'tensor' : '');
  return { tensors, metadata };
}

/** The values that contain a tensor, directly or nested. Visits every value once, without recursion, so that depth does not matter. */
function findHolders(root: PythonValue): (value: PythonValue) => boolean {
  const parents = new Map<PythonValue, PythonValue[]>();
  const holding = new Set<PythonValue>();
  const full: PythonValue[] = [];
  const waiting: PythonValue[] = [root];
  const seen = new Set<PythonValue>([root]);
  for (let value = waiting.pop(); value !== undefined; value = waiting.pop()) {
    if (isKind(value, 'tensor')) full.push(value);
    for (const [, child] of childrenOf(value)) {
      if (child === null || typeof child !== 'object' || child instanceof Uint8Array) continue;
      const above = parents.get(child);
      if (above) above.push(value);
      else parents.set(child, [value]);
      if (!seen.has(child)) {
        seen.add(child);
        waiting.push(child);
      }
    }
  }
  for (let value = full.pop(); value !== undefined; value = full.pop()) {
    if (holding.has(value)) continue;
    holding.add(value);
    for (const parent of parents.get(value) ?? []) full.push(parent);
  }
  return (value) => holding.has(value);
}

function childrenOf(value: PythonValue): Children {
  if (isKind(value, 'dict')) return [...value.items].map(([key, child]) => [keyName(key), child]);
  if (isKind(value, 'list') || isKind(value, 'tuple')) return value.items.map((child, index) => [String(index), child]);
  if (isKind(value, 'object') && value.type.startsWith('torch.nn.modules.container.')) return parametersOf(value);
  return [];
}

/** The parameters of a pickled `ParameterDict` or `ParameterList` (before PyTorch 1.12 and since). */
function parametersOf({ state }: PythonObject): Children {
  if (!isKind(state, 'dict')) return [];
  const parameters = state.items.get('_parameters');
  return isKind(parameters, 'dict') ? childrenOf(parameters) : [];
}

function keyName(key: PythonValue): string {
  if (typeof key === 'string') return key;
  if (typeof key === 'number' || typeof key === 'bigint' || typeof key === 'boolean' || key === null)
    return String(key);
  if (isKind(key, 'float')) return String(key.value);
  return isKind(key, 'global') ? `${key.module}.${key.name}` : describeValue(key);
}

function toMetadata(value: PythonValue, depth: number, budget: { nodes: number }): MetadataValue {
  if (value === null || typeof value === 'boolean' || typeof value === 'number' || typeof value === 'string')
    return value;
  if (typeof value === 'bigint') return String(value);
  if (isKind(value, 'float')) return value.value;
  const isDict = isKind(value, 'dict');
  if (!isDict && !isKind(value, 'list') && !isKind(value, 'tuple')) return describeValue(value);
  if (depth >= metadataDepth) return `${describeValue(value)} (nested too deeply to show)`;
  const children: [string, MetadataValue][] = [];
  for (const [key, child] of childrenOf(value)) {
    if (--budget.nodes < 0) break;
    children.push([key, toMetadata(child, depth + 1, budget)]);
  }
  return isDict ? new Map(children) : children.map(([, child]) => child);
}
