/** Nodes that join, cut, compare and search texts, as Python does: characters are whole code points. */

import { defineNode, type NodeType, plainFlags } from '../definition.ts';
import { capitalized, extracted, matches, stripped, substring, replacedByPattern, titled } from '../python-strings.ts';

const stringConcatenateNode = defineNode({
  name: 'StringConcatenate',
  displayName: 'Concatenate',
  category: 'utils/string',
  module: 'comfy_extras.nodes_string',
  required: {
    string_a: ['STRING', { multiline: true }],
    string_b: ['STRING', { multiline: true }],
    delimiter: ['STRING', { default: '', multiline: false }],
  },
  outputs: ['STRING'],
  flags: plainFlags,
  run: ({ string_a, string_b, delimiter }) => [`${string_a}${delimiter}${string_b}`],
});

const stringSubstringNode = defineNode({
  name: 'StringSubstring',
  displayName: 'Substring',
  category: 'utils/string',
  module: 'comfy_extras.nodes_string',
  required: {
    string: ['STRING', { multiline: true }],
    start: ['INT', {}],
    end: ['INT', {}],
  },
  outputs: ['STRING'],
  flags: plainFlags,
  run: ({ string, start, end }) => [substring(string, Number(start), Number(end))],
});

const stringLengthNode = defineNode({
  name: 'StringLength',
  displayName: 'Length',
  category: 'utils/string',
  module: 'comfy_extras.nodes_string',
  required: {
    string: ['STRING', { multiline: true }],
  },
  outputs: [{ type: 'INT', name: 'length' }],
  flags: plainFlags,
  run: ({ string }) => [[...string].length],
});

const caseConverterNode = defineNode({
  name: 'CaseConverter',
  displayName: 'Case Converter',
  category: 'utils/string',
  module: 'comfy_extras.nodes_string',
  required: {
    string: ['STRING', { multiline: true }],
    mode: ['COMBO', { multiselect: false, options: ['UPPERCASE', 'lowercase', 'Capitalize', 'Title Case'] }],
  },
  outputs: ['STRING'],
  flags: plainFlags,
  run({ string, mode }) {
    if (mode === 'UPPERCASE') return [string.toUpperCase()];
    if (mode === 'lowercase') return [string.toLowerCase()];
    return [mode === 'Capitalize' ? capitalized(string) : titled(string)];
  },
});

const stringTrimNode = defineNode({
  name: 'StringTrim',
  displayName: 'Trim',
  category: 'utils/string',
  module: 'comfy_extras.nodes_string',
  required: {
    string: ['STRING', { multiline: true }],
    mode: ['COMBO', { multiselect: false, options: ['Both', 'Left', 'Right'] }],
  },
  outputs: ['STRING'],
  flags: plainFlags,
  run: ({ string, mode }) => [stripped(string, mode)],
});

const stringReplaceNode = defineNode({
  name: 'StringReplace',
  displayName: 'Replace',
  category: 'utils/string',
  module: 'comfy_extras.nodes_string',
  required: {
    string: ['STRING', { multiline: true }],
    find: ['STRING', { multiline: true }],
    replace: ['STRING', { multiline: true }],
  },
  outputs: ['STRING'],
  flags: plainFlags,
  run({ string, find, replace }) {
    // Python puts the replacement between all characters if the text to find is empty.
    const parts = find === '' ? ['', ...string, ''] : string.split(find);
    return [parts.join(replace)];
  },
});

const stringContainsNode = defineNode({
  name: 'StringContains',
  displayName: 'Contains',
  category: 'utils/string',
  module: 'comfy_extras.nodes_string',
  required: {
    string: ['STRING', { multiline: true }],
    substring: ['STRING', { multiline: true }],
    case_sensitive: ['BOOLEAN', { default: true }],
  },
  outputs: [{ type: 'BOOLEAN', name: 'contains' }],
  flags: plainFlags,
  run: ({ string, substring: part, case_sensitive }) => [
    case_sensitive ? string.includes(part) : string.toLowerCase().includes(part.toLowerCase()),
  ],
});

const stringCompareNode = defineNode({
  name: 'StringCompare',
  displayName: 'Compare',
  category: 'utils/string',
  module: 'comfy_extras.nodes_string',
  required: {
    string_a: ['STRING', { multiline: true }],
    string_b: ['STRING', { multiline: true }],
    mode: ['COMBO', { multiselect: false, options: ['Starts With', 'Ends With', 'Equal'] }],
    case_sensitive: ['BOOLEAN', { default: true }],
  },
  outputs: ['BOOLEAN'],
  flags: plainFlags,
  run({ string_a, string_b, mode, case_sensitive }) {
    const [a, b] = [string_a, string_b].map((text) => (case_sensitive ? text : text.toLowerCase())) as [string, string];
    if (mode === 'Starts With') return [a.startsWith(b)];
    return [mode === 'Ends With' ? a.endsWith(b) : a === b];
  },
});

const regexMatchNode = defineNode({
  name: 'RegexMatch',
  displayName: 'Regex Match',
  category: 'utils/string',
  module: 'comfy_extras.nodes_string',
  required: {
    string: ['STRING', { multiline: true }],
    regex_pattern: ['STRING', { multiline: true }],
    case_insensitive: ['BOOLEAN', { default: true }],
    multiline: ['BOOLEAN', { default: false }],
    dotall: ['BOOLEAN', { default: false }],
  },
  outputs: [{ type: 'BOOLEAN', name: 'matches' }],
  flags: plainFlags,
  canTakeLong: true,
  run: ({ string, regex_pattern, case_insensitive, multiline, dotall }) => [
    matches(string, { pattern: regex_pattern, ignoresCase: case_insensitive, multiline, dotall }),
  ],
});

const regexExtractNode = defineNode({
  name: 'RegexExtract',
  displayName: 'Regex Extract',
  category: 'utils/string',
  module: 'comfy_extras.nodes_string',
  required: {
    string: ['STRING', { multiline: true }],
    regex_pattern: ['STRING', { multiline: true }],
    mode: ['COMBO', { multiselect: false, options: ['First Match', 'All Matches', 'First Group', 'All Groups'] }],
    case_insensitive: ['BOOLEAN', { default: true }],
    multiline: ['BOOLEAN', { default: false }],
    dotall: ['BOOLEAN', { default: false }],
    group_index: ['INT', { default: 1, min: 0, max: 100 }],
  },
  outputs: ['STRING'],
  flags: plainFlags,
  canTakeLong: true,
  run: ({ string, regex_pattern, mode, case_insensitive, multiline, dotall, group_index }) => [
    extracted(string, { pattern: regex_pattern, ignoresCase: case_insensitive, multiline, dotall }, mode, group_index),
  ],
});

const regexReplaceNode = defineNode({
  name: 'RegexReplace',
  displayName: 'Regex Replace',
  category: 'utils/string',
  module: 'comfy_extras.nodes_string',
  required: {
    string: ['STRING', { multiline: true }],
    regex_pattern: ['STRING', { multiline: true }],
    replace: ['STRING', { multiline: true }],
  },
  optional: {
    case_insensitive: ['BOOLEAN', { default: true }],
    multiline: ['BOOLEAN', { default: false }],
    dotall: ['BOOLEAN', { default: false }],
    count: ['INT', { default: 0, min: 0, max: 100 }],
  },
  outputs: ['STRING'],
  flags: plainFlags,
  canTakeLong: true,
  run: ({ string, regex_pattern, replace, case_insensitive = true, multiline = false, dotall = false, count = 0 }) => [
    replacedByPattern(
      string,
      { pattern: regex_pattern, ignoresCase: case_insensitive, multiline, dotall },
      replace,
      count,
    ),
  ],
});

export const stringNodes: readonly NodeType[] = [
  stringConcatenateNode,
  stringSubstringNode,
  stringLengthNode,
  caseConverterNode,
  stringTrimNode,
  stringReplaceNode,
  stringContainsNode,
  stringCompareNode,
  regexMatchNode,
  regexExtractNode,
  regexReplaceNode,
];
