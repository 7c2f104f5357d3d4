/** A LoRA file, its tensors gathered by module. Nothing is read but the header. */

import { StableDiffusionError } from '../../errors.ts';
import { familyOf } from '../../checkpoints/family.ts';
import { familyOfLora, isLora } from '../../checkpoints/lora-family.ts';
import type { ModelFamily } from '../../checkpoints/model-families.ts';
import type { Tensor } from '../../tensor/tensor.ts';
import type { MetadataValue, WeightEntry, WeightSource } from '../../weights/weight-source.ts';
import { type LoraNetwork, type LoraRole, parseLoraKey } from './lora-keys.ts';

/** The tensors that change one layer. */
export interface LoraModule {
  readonly network: LoraNetwork | undefined;
  /** Name with `_` for every `.`, in the file's layout. */
  readonly name: string;
  readonly tensors: ReadonlyMap<LoraRole, WeightEntry>;
}

export interface LoraFile {
  readonly label: string;
  readonly modules: readonly LoraModule[];
  /** That of the models it was trained for, where the file tells. */
  readonly family?: ModelFamily | undefined;
  /** Keys that do not belong to a LoRA. */
  readonly unknown: readonly string[];
  readonly metadata: ReadonlyMap<string, MetadataValue>;
  /** PEFT's rank and alpha, if diffusers wrote them into the file. */
  readonly peft: PeftSettings | undefined;
  /** DoRA's norms of rows: of the changed weight (default, as the paper), or of the weight as it was, as ComfyUI takes them. */
  readonly rowNorms?: 'changed' | 'original';
  read(name: string, signal?: AbortSignal): Promise<Tensor>;
  close(): Promise<void>;
}

/** Fields of `peft.LoraConfig` by network prefix, as in the metadata `lora_adapter_metadata`. */
export interface PeftSettings {
  /** alpha / rank of a module, or alpha / √rank; undefined if the settings do not include it. */
  scale(module: LoraModule, rank: number): number | undefined;
}

/** The modules of a file. Throws `file-unsupported` if no key belongs to a LoRA. */
export function openLora(source: WeightSource): LoraFile {
  const modules = new Map<
    string,
    { network: LoraNetwork | undefined; name: string; tensors: Map<LoraRole, WeightEntry> }
  >();
  const unknown: string[] = [];
  for (const [key, entry] of source.entries) {
    const parsed = parseLoraKey(key);
    // A tensor called `weight` alone is IA3's where the module says on which side it acts.
    const isStray = parsed?.role === 'weight' && !source.entries.has(key.replace(/weight$/, 'on_input'));
    if (!parsed || isStray) {
      unknown.push(key);
      continue;
    }
    const id = `${parsed.network ?? ''} ${parsed.module}`;
    const module = modules.get(id) ?? {
      network: parsed.network,
      name: parsed.module,
      tensors: new Map<LoraRole, WeightEntry>(),
    };
    if (module.tensors.has(parsed.role)) {
      throw new StableDiffusionError(
        'weights-mismatch',
        `${source.label}: ${key} and ${module.tensors.get(parsed.role)?.name} are the same tensor in two layouts. Keep one of them.`,
      );
    }
    module.tensors.set(parsed.role, entry);
    modules.set(id, module);
  }
  if (modules.size === 0) {
    const other = familyOf(source.entries);
    throw new StableDiffusionError(
      'file-unsupported',
      other && !isLora(source.entries)
        ? `${source.label} is ${other.name}, not a LoRA.`
        : `${source.label} is not a LoRA of a known layout (kohya, LyCORIS, PEFT, diffusers); it has ${unknown.slice(0, 3).join(', ')}.`,
      { details: { unknown } },
    );
  }
  const metadata = source.metadata ?? new Map<string, MetadataValue>();
  return {
    label: source.label,
    family: familyOfLora(source),
    modules: [...modules.values()],
    unknown,
    metadata,
    peft: peftSettings(metadata.get('lora_adapter_metadata')),
    read: (name, signal) => source.read(name, signal),
    close: () => source.close(),
  };
}

/** In front of the settings of each network in `lora_adapter_metadata`. */
const networkPrefixes: Readonly<Record<LoraNetwork, string>> = {
  unet: 'unet.',
  text: 'text_encoder.',
  text_2: 'text_encoder_2.',
};

function peftSettings(text: MetadataValue | undefined): PeftSettings | undefined {
  if (typeof text !== 'string') return undefined;
  let fields: Readonly<Record<string, unknown>>;
  try {
    fields = JSON.parse(text);
  } catch {
    return undefined;
  }
  return {
    scale({ network, name }, rank) {
      const prefix = network === undefined ? 'unet.' : networkPrefixes[network];
      const pattern = fields[`${prefix}alpha_pattern`];
      const own =
        typeof pattern === 'object' && pattern !== null
          ? Object.entries(pattern).find(([part]) => isPartOf(name, part))?.[1]
          : undefined;
      const alpha = own ?? fields[`${prefix}lora_alpha`];
      if (typeof alpha !== 'number') return undefined;
      return alpha / (fields[`${prefix}use_rslora`] === true ? Math.sqrt(rank) : rank);
    },
  };
}

/** True if a PEFT pattern matches a module: its complete name, or the end of it. */
function isPartOf(module: string, pattern: string): boolean {
  const name = pattern.replaceAll('.', '_');
  return module === name || module.endsWith(`_${name}`);
}
