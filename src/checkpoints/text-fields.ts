/** The text encoder of an LDM configuration, which names it by version only: its fields from the weights, its `config.json`, or the published model. */

import type { ClipTextConfig } from '../config/network-config.ts';
import { pretrainedText } from '../config/pretrained-text.ts';
import { isMapping, type Mapping } from '../config/validate.ts';
import type { WeightSource } from '../weights/weight-source.ts';
import { detectNetwork } from './detect.ts';

/** Names of the parameters that the YAML gives the text encoder. */
export function explicitTextFields(section: Mapping): readonly string[] {
  const params = isMapping(section['params']) ? section['params'] : {};
  const condition = isMapping(params['cond_stage_config']) ? params['cond_stage_config'] : {};
  return isMapping(condition['params']) ? Object.keys(condition['params']) : [];
}

/**
 * Fields of a text encoder that the YAML names: sizes as the weights have them, the rest from its `config.json`, or from the published
 * model of that name if that has the same width, or assumed.
 */
export function textFields(
  stage: WeightSource,
  version: string,
  given: Mapping | undefined,
  assumed: string[],
): Mapping {
  const fields = given ?? pretrainedText(version) ?? {};
  const found = stage.entries.size === 0 ? undefined : detectNetwork(stage);
  if (found?.config.kind !== 'clip_text') return fields;
  const { config } = found;
  const sizes = textSizes(config);
  if (fields['hidden_size'] === config.hidden_size) return { ...known(fields), ...sizes };
  assumed.push(...found.assumed.map((phrase) => `text encoder: ${phrase}`));
  const { kind: _, ...others } = config;
  return others;
}

function textSizes(config: ClipTextConfig): Mapping {
  const { vocab_size, hidden_size, intermediate_size, num_hidden_layers, max_position_embeddings } = config;
  return { vocab_size, hidden_size, intermediate_size, num_hidden_layers, max_position_embeddings };
}

/** The fields of a `config.json` that describe the network; the others name files and versions. */
function known(fields: Mapping): Mapping {
  const names = [
    'num_attention_heads',
    'hidden_act',
    'layer_norm_eps',
    'projection_dim',
    'eos_token_id',
    'bos_token_id',
    'pad_token_id',
  ];
  return Object.fromEntries(
    names.flatMap((name) => (fields[name] === undefined || fields[name] === null ? [] : [[name, fields[name]]])),
  );
}
