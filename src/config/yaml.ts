/**
 * Reading YAML as LDM's configurations use it (OmegaConf over PyYAML's safe loader), from a file that may be hostile.
 *
 * Plain data only: no tags, no merge of anchors beyond a small budget of aliases, no duplicate keys, 1 MiB, 64 levels and 20,000 values
 * at most.
 */

import { isScalar, parseDocument, stringify, visit, type YAMLMap } from 'yaml';
import { StableDiffusionError } from '../errors.ts';
import { createBudget } from '../files/budget.ts';
import { configError } from './validate.ts';

const maxBytes = 1 << 20;
const maxDepth = 64;
const maxAliases = 100;
/** The largest real configuration (class names of ImageNet) has a few thousand. Reading this many takes a fraction of a second. */
const maxNodes = 20_000;

/** The data of the one document in `text`. Throws `config-invalid`, naming `label`, line and column. */
export function parseYaml(text: string, label: string): unknown {
  if (text.length > maxBytes)
    throw configError(
      `${label}: a configuration of ${text.length} characters is too long; at most ${maxBytes} are read.`,
    );
  checkNesting(text, label);
  checkLength(text, label);
  try {
    const document = parseDocument(text, {
      schema: 'core',
      merge: true,
      // Compares each key with all others; `checkKeys` does it in linear time.
      uniqueKeys: false,
      strict: true,
      prettyErrors: true,
      stringKeys: true,
    });
    const problem = document.errors[0] ?? document.warnings[0];
    if (problem) throw configError(problem.message.split('\n')[0] ?? problem.code);
    const budget = createBudget(label, { elements: maxNodes });
    visit(document, {
      Map: (_, node) => checkKeys(node),
      Node(_, node, path) {
        budget.elements(1, 'the configuration');
        if (node.tag !== undefined && !node.tag.startsWith('tag:yaml.org,2002:'))
          throw configError(`the tag ${node.tag} is not allowed`);
        if (path.length > 2 * maxDepth) throw configError(`it is nested more than ${maxDepth} levels deep`);
      },
    });
    return document.toJS({ maxAliasCount: maxAliases });
  } catch (cause) {
    throw new StableDiffusionError('config-invalid', `${label} is not YAML that can be read: ${messageOf(cause)}`, {
      cause,
    });
  }
}

/** Each value takes a line, or a comma or a colon of one: counted before the parser, which needs a microsecond for each of them. */
function checkLength(text: string, label: string): void {
  let marks = 0;
  for (let i = 0; i < text.length; i++) {
    const character = text.charCodeAt(i);
    if (character === 0x0a || character === 0x2c || character === 0x3a) marks++;
  }
  if (marks > 4 * maxNodes)
    throw configError(`${label} has more than ${maxNodes} values, which is too many to be read.`);
}

function checkKeys(map: YAMLMap): void {
  const keys = new Set<unknown>();
  for (const { key } of map.items) {
    const name = isScalar(key) ? key.value : key;
    if (name === '<<') continue;
    if (keys.has(name)) throw configError(`Map keys must be unique, and ${JSON.stringify(name)} is there twice`);
    keys.add(name);
  }
}

/** Flow collections nest by brackets; the parser is recursive, so depth is bounded before it runs. */
function checkNesting(text: string, label: string): void {
  let depth = 0;
  let dashes = 0;
  for (const character of text) {
    if (character === '[' || character === '{') depth++;
    else if (character === ']' || character === '}') depth = Math.max(0, depth - 1);
    // "- - - -": one level for each dash of a line.
    if (character === '\n') dashes = 0;
    else if (character === '-') dashes++;
    if (depth > maxDepth || dashes > 1024) throw configError(`${label} is nested more than ${maxDepth} levels deep.`);
  }
}

function messageOf(cause: unknown): string {
  return (cause instanceof Error ? cause.message : String(cause)).split('\n')[0] ?? '';
}

/** Plain data as YAML, in blocks, as LDM's configurations are written. */
export function stringifyYaml(value: unknown): string {
  return stringify(value, { lineWidth: 0, aliasDuplicateObjects: false });
}
