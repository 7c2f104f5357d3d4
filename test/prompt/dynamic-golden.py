"""Makes fixtures/prompt/dynamic-prompts.json: prompts of dynamicprompts 0.31 (sd-dynamic-prompts' library) by template and seed.

python test/prompt/dynamic-golden.py   (in the repository; needs dynamicprompts)
"""
import json

from dynamicprompts.generators import RandomPromptGenerator
from dynamicprompts.wildcards import WildcardManager

templates = [
    "a {red|green|blue} ball", "{2$$a|b|c}", "{1-3$$ and $$a|b|c|d}", "{0.5::x|3::y|z} w", "a __colour__ ball",
    "__sub/animal__, {a|{b|c}}", "__animal__", "{2$$__colour__}", "{-2$$a|b|c}", "{2-$$a|b|c}",
    "${c={red|blue}} ${c} and ${c}", "${c=!{red|blue}}${c} and ${c}", "${x:none}",
    "plain, (text:1.2) [a:b:0.5]", "a {|b|} c", "{ a | b } c", "__none__", "__*__", "{~a|b}",
    "# comment\na {b|c} // rest", "{a}", "{3$$a|b}", "{1-2$$;$$__colour__}", "<lora:x:0.5> {a|b}",
    "{a|b} {c|d} {e|f} {g|h}", "{a b|c}", "a_b __colour__", "{0$$a|b}x", "{0-1$$a|b}", "{{a|b} c|d}", "{2::a|b}{.5::c|d}",
]
manager = WildcardManager("fixtures/prompt/wildcards")
rows = [
    [template, seed, RandomPromptGenerator(manager).generate(template, 1, seeds=[seed])[0]]
    for template in templates
    for seed in (1, 7, 123456789)
]
with open("fixtures/prompt/dynamic-prompts.json", "w") as file:
    file.write("[\n" + ",\n".join(json.dumps(row) for row in rows) + "\n]\n")
