/**
 * The classes and functions that a checkpoint's pickle may name, and the data that each produces. Everything else is refused by name.
 *
 * The list is that of `torch.load(weights_only=True)` (torch/_weights_only_unpickler.py) and, as inert placeholders, the harmless
 * classes that PyTorch Lightning leaves in real Stable Diffusion checkpoints: its callbacks, omegaconf's containers, numpy's scalars.
 * Names are compared whole; a prefix or a dotted path through an allowed module is not allowed.
 */

import { StableDiffusionError } from '../../errors.ts';
import type { PickleHost } from './pickle-machine.ts';
import { describeValue, type PythonGlobal, type PythonValue, pythonDict, pythonObject } from './python-value.ts';
import type { TorchTensor, TorchType } from './python-value.ts';
import { torchTypes, torchView, untyped } from './tensor.ts';

type Args = readonly PythonValue[];

/** The result of calling the global; without a rule it may be named but not called. */
type Call = (label: string, args: Args, charge: (bytes: number) => void) => PythonValue;

const storageTypes: ReadonlyMap<string, string> = new Map([
  ['DoubleStorage', 'float64'],
  ['FloatStorage', 'float32'],
  ['HalfStorage', 'float16'],
  ['BFloat16Storage', 'bfloat16'],
  ['LongStorage', 'int64'],
  ['IntStorage', 'int32'],
  ['ShortStorage', 'int16'],
  ['CharStorage', 'int8'],
  ['ByteStorage', 'uint8'],
  ['BoolStorage', 'bool'],
  ['ComplexFloatStorage', 'complex64'],
  ['ComplexDoubleStorage', 'complex128'],
  ['QInt8Storage', 'qint8'],
  ['QUInt8Storage', 'quint8'],
  ['QInt32Storage', 'qint32'],
  ['QUInt4x2Storage', 'quint4x2'],
  ['QUInt2x4Storage', 'quint2x4'],
]);

/** The element type of a storage class, or undefined for other names. */
export function storageType({ module, name }: PythonGlobal): TorchType | undefined {
  if (name === 'UntypedStorage' && (module === 'torch.storage' || module === 'torch')) return untyped;
  const type = storageTypes.get(name);
  return type !== undefined && (module === 'torch' || module === 'torch.cuda') ? torchTypes.get(type) : undefined;
}

const copyList =
  (kind: 'list' | 'set' | 'tuple'): Call =>
  (label, args, charge) => {
    if (args.length > 1) throw corrupt(label, `a ${kind} has ${args.length} arguments`);
    const items = args[0] === undefined ? [] : [...itemsOf(label, args[0], kind)];
    charge(8 * items.length);
    return { kind, items };
  };

const dictOf =
  (ordered: boolean): Call =>
  (label, args, charge) => {
    if (args.length > 1) throw corrupt(label, `a dict has ${args.length} arguments`);
    const dict = pythonDict(ordered);
    const [from] = args;
    if (from === undefined) return dict;
    const pairs = isKind(from, 'dict')
      ? [...from.items]
      : itemsOf(label, from, 'dict').map((pair) => itemsOf(label, pair, 'dict'));
    charge(64 * pairs.length);
    for (const [key, value] of pairs) {
      if (key === undefined || value === undefined) throw corrupt(label, 'a dict has an item that is not a pair');
      dict.items.set(key, value);
    }
    return dict;
  };

/** `_codecs.encode(text, 'latin1')`: how Python 3 pickles bytes in protocol 2. */
const encode: Call = (label, [text, encoding], charge) => {
  if (typeof text !== 'string' || (encoding !== undefined && encoding !== 'latin1' && encoding !== 'latin-1')) {
    throw corrupt(label, '_codecs.encode needs a text and latin1, but has other arguments');
  }
  charge(text.length);
  return Uint8Array.from(text, (character) => {
    const code = character.codePointAt(0) as number;
    if (code > 255) throw corrupt(label, 'a text is not latin1');
    return code;
  });
};

const byteArray: Call = (label, args, charge) => {
  const [from] = args;
  if (from === undefined) return new Uint8Array(0);
  if (typeof from === 'string') return encode(label, args, charge);
  if (!(from instanceof Uint8Array)) throw corrupt(label, `bytes cannot be built from ${describeValue(from)}`);
  return from;
};

const tensorV2: Call = (label, args) => {
  if (args.length < 6 || args.length > 7) throw corrupt(label, `_rebuild_tensor_v2 is given ${args.length} arguments`);
  return view(label, args);
};

const tensorV3: Call = (label, args) => {
  const type = args[6];
  if (args.length < 7 || args.length > 8 || !isKind(type, 'global'))
    throw corrupt(label, '_rebuild_tensor_v3 is not given its arguments');
  const element = type.module === 'torch' ? torchTypes.get(type.name) : undefined;
  if (!element) throw corrupt(label, `${describeValue(type)} is not an element type`);
  return view(label, args, element);
};

function view(label: string, args: Args, type?: TorchType): TorchTensor {
  const [storage, offset, shape, strides] = args;
  // The last argument: bits that mark the values as negated or conjugated.
  const bits = args[type ? 7 : 6];
  if (isKind(bits, 'dict') && bits.items.size > 0) {
    throw new StableDiffusionError(
      'file-unsupported',
      `${label}: a tensor is stored as a negated or conjugated view, which is not supported. Save its resolved copy.`,
    );
  }
  return torchView(label, storage ?? null, offset ?? null, shape ?? null, strides ?? null, type);
}

const parameter: Call = (label, [data]) => {
  if (!isKind(data, 'tensor'))
    throw corrupt(label, `a parameter cannot be built from ${data === undefined ? 'nothing' : describeValue(data)}`);
  return data;
};

/** `_rebuild_from_type_v2(function, type, arguments, state)`: a tensor with attributes, which are dropped. */
const fromType: Call = (label, [callee, type, args], charge) => {
  const tensorClasses = ['torch Tensor', 'torch.nn.parameter Parameter', 'torch.nn.parameter Buffer'];
  const rule = isKind(callee, 'global') ? calls.get(keyOf(callee)) : undefined;
  if (!rule || !isKind(args, 'tuple') || !isKind(type, 'global') || !tensorClasses.includes(keyOf(type))) {
    throw corrupt(label, '_rebuild_from_type_v2 is not given its arguments');
  }
  const value = rule(label, args.items, charge);
  if (!isKind(value, 'tensor')) throw corrupt(label, '_rebuild_from_type_v2 must return a tensor');
  return value;
};

const unsupported =
  (what: string): Call =>
  (label) => {
    throw new StableDiffusionError(
      'file-unsupported',
      `${label}: it holds ${what}, which is not supported. Convert it to an ordinary tensor and save it again.`,
    );
  };

const placeholder =
  (type: string): Call =>
  (_label, args) =>
    pythonObject(type, args);

const calls: ReadonlyMap<string, Call> = new Map<string, Call>([
  ['torch._utils _rebuild_tensor', (label, args) => view(label, args)],
  ['torch._utils _rebuild_tensor_v2', tensorV2],
  ['torch._utils _rebuild_tensor_v3', tensorV3],
  ['torch._utils _rebuild_parameter', parameter],
  ['torch._utils _rebuild_parameter_with_state', parameter],
  ['torch._tensor _rebuild_from_type_v2', fromType],
  ['torch.nn.parameter Parameter', parameter],
  ['torch.nn.parameter Buffer', parameter],
  ['torch._utils _rebuild_sparse_tensor', unsupported('a sparse tensor')],
  ['torch._utils _rebuild_sparse_csr_tensor', unsupported('a sparse tensor')],
  ['torch._utils _rebuild_qtensor', unsupported('a quantised tensor')],
  ['torch._utils _rebuild_nested_tensor', unsupported('a nested tensor')],
  ['torch._utils _rebuild_meta_tensor_no_storage', unsupported('a tensor without data (of the device "meta")')],
  ['torch._utils _rebuild_wrapper_subclass', unsupported('a tensor of another class')],
  ['torch._utils _rebuild_device_tensor_from_numpy', unsupported('a tensor of another device')],
  ['torch._utils _rebuild_device_tensor_from_cpu_tensor', unsupported('a tensor of another device')],
  ['torch Size', copyList('tuple')],
  ['torch device', placeholder('torch.device')],
  ['torch.torch_version TorchVersion', (_label, [version]) => version ?? null],
  ['torch.serialization _get_layout', placeholder('torch.layout')],
  ['torch.nn.modules.container ParameterDict', placeholder('torch.nn.modules.container.ParameterDict')],
  ['torch.nn.modules.container ParameterList', placeholder('torch.nn.modules.container.ParameterList')],
  ['collections OrderedDict', dictOf(true)],
  ['collections Counter', dictOf(false)],
  ['collections defaultdict', (label, [, ...args], charge) => dictOf(false)(label, args, charge)],
  ['collections deque', (label, args, charge) => copyList('list')(label, args.slice(0, 1), charge)],
  ['_codecs encode', encode],
  ['builtins set', copyList('set')],
  ['builtins frozenset', copyList('set')],
  ['builtins list', copyList('list')],
  ['builtins tuple', copyList('tuple')],
  ['builtins dict', dictOf(false)],
  ['builtins bytearray', byteArray],
  ['builtins bytes', byteArray],
  ['builtins complex', placeholder('complex')],
  ['builtins slice', placeholder('slice')],
  ['builtins range', placeholder('range')],
  ...['numpy.core.multiarray', 'numpy._core.multiarray'].flatMap((module): [string, Call][] => [
    [`${module} scalar`, placeholder('numpy scalar')],
    [`${module} _reconstruct`, placeholder('numpy.ndarray')],
  ]),
  ['numpy.core.numeric _frombuffer', placeholder('numpy.ndarray')],
  ['numpy._core.numeric _frombuffer', placeholder('numpy.ndarray')],
  ['numpy dtype', placeholder('numpy.dtype')],
  ['argparse Namespace', placeholder('argparse.Namespace')],
]);

/** May be named, and not called. */
const namesOnly: ReadonlySet<string> = new Set([
  'torch Tensor',
  'torch sparse_coo',
  'torch sparse_csr',
  'torch strided',
  'torch per_tensor_affine',
  'torch per_channel_affine',
  'builtins int',
  'builtins long',
  'builtins float',
  'builtins bool',
  'builtins str',
  'builtins unicode',
  'builtins object',
  'numpy ndarray',
  'numpy float16',
  'numpy float32',
  'numpy float64',
  'numpy int32',
  'numpy int64',
  'numpy bool_',
  'pytorch_lightning.utilities.argparse _gpus_arg_default',
  'pytorch_lightning.utilities.argparse_utils _gpus_arg_default',
]);

/** Modules whose classes are all harmless as placeholders. A class is recognised by its capital letter. */
const classModules =
  /^(?:(?:pytorch_lightning|lightning|lightning_fabric|omegaconf)(?:\.[A-Za-z_][A-Za-z0-9_]*)*|pathlib|typing|numpy\.dtypes)$/;
const className = /^_?[A-Z][A-Za-z0-9_]*$/;

function keyOf({ module, name }: PythonGlobal): string {
  return `${module} ${name}`;
}

/** The pickle host of a PyTorch file: everything but its storages, which `persistent` makes from their ids. */
export function torchHost(label: string, persistent: PickleHost['persistent']): PickleHost {
  const known = new Map<string, PythonGlobal>();
  return {
    persistent,
    global(module, name) {
      const value: PythonGlobal = { kind: 'global', module: module === '__builtin__' ? 'builtins' : module, name };
      const key = keyOf(value);
      const before = known.get(key);
      if (before) return before;
      const allowed =
        calls.has(key) ||
        namesOnly.has(key) ||
        isClass(value) ||
        storageType(value) ||
        (value.module === 'torch' && torchTypes.has(name));
      if (!allowed) {
        const shown = JSON.stringify(`${module}.${name}`.slice(0, 120));
        throw new StableDiffusionError(
          'file-unsafe',
          `${label} needs ${shown}, which is not on the list of harmless classes. Loading it in Python could run code, so it is refused. Get the weights as .safetensors.`,
          { details: { module, name } },
        );
      }
      known.set(key, value);
      return value;
    },
    call(callee, args, charge) {
      const rule =
        calls.get(keyOf(callee)) ?? (isClass(callee) ? placeholder(`${callee.module}.${callee.name}`) : undefined);
      if (!rule) {
        throw new StableDiffusionError(
          'file-unsafe',
          `${label} calls ${callee.module}.${callee.name}, which a checkpoint has no reason to do. It is refused.`,
        );
      }
      return rule(label, args, charge);
    },
  };
}

function isClass({ module, name }: PythonGlobal): boolean {
  return classModules.test(module) && className.test(name);
}

/** Narrows a value to one kind. */
export function isKind<K extends string>(
  value: PythonValue | undefined,
  kind: K,
): value is Extract<PythonValue, { readonly kind: K }> {
  return typeof value === 'object' && value !== null && 'kind' in value && value.kind === kind;
}

function itemsOf(label: string, value: PythonValue, into: string): readonly PythonValue[] {
  if (isKind(value, 'list') || isKind(value, 'tuple') || isKind(value, 'set')) return value.items;
  throw corrupt(label, `a ${into} cannot be built from ${describeValue(value)}`);
}

function corrupt(label: string, reason: string): StableDiffusionError {
  return new StableDiffusionError('file-corrupt', `${label}: its pickle is malformed: ${reason}. Get the file again.`);
}
