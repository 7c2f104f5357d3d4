/**
 * Reading YAML as LDM's configurations use it (OmegaConf over PyYAML's safe loader), from a file that may be hostile.
 *
 * Plain data only: no tags, no merge of anchors beyond a small budget of aliases, no duplicate keys, 1 MiB and 64 levels at most.
 */

import { parseDocument, stringify, visit } from 'yaml';
import { StableDiffusionError } from '../errors.ts';
import { configError } from './validate.ts';

const maxBytes = 1 << 20;
const maxDepth = 64;
const maxAliases = 100;

/** The data of the one document in `text`. Throws `config-invalid`, naming `label`, line and column. */
export function parseYaml(text: string, label: string): unknown {
  if (text.length > maxBytes)
    throw configError(
      `${label}: a configuration of ${text.length} characters is too long; at most ${maxBytes} are read.`,
    );
  checkNesting(text, label);
  try {
    const document = parseDocument(text, {
      schema: 'core',
      merge: true,
      uniqueKeys: true,
      strict: true,
      prettyErrors: true,
      stringKeys: true,
    });
    const problem = document.errors[0] ?? document.warnings[0];
    if (problem) throw configError(problem.message.split('\n')[0] ?? problem.code);
    visit(document, {
      Node(_, node, path) {
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
