/**
 * Texts of the kinds that people send to a model, to measure how large its keys and values become: prose
 * in a few languages, dialogue, code, data, numbers.
 */
import type { Tokenizer } from '../tokenizer/tokenizer.ts'

const calibrationTexts: readonly string[] = [
  `The town lies where two rivers meet, and for three hundred years nobody had thought of building a bridge
over both of them. People on the east bank sold salt and bought wool; people on the west bank did the
opposite, and the ferryman grew rich. When the engineer arrived in the spring of 1874 with a folder full
of drawings, the council heard him for two hours, asked what it would cost, and went home to dinner.
"You will have your bridge," the mayor said at last, "but not before you have shown us a smaller one."
So he built a footbridge across the mill stream, forty feet long, and every child of the town ran over it
on the first day. It still stands. Why do we trust what we can walk on more than what we can calculate?
Perhaps because a calculation never carried anybody's weight: in short, we believe our feet.`,

  `User: I have 17 apples and give away 5, then buy two bags with 12 each. How many are there now?
Assistant: You begin with 17 and give away 5, which leaves 12. Two bags of 12 are 24 more, so there are
36 apples.
User: And if a third of them are bad?
Assistant: A third of 36 is 12; that leaves 24 good ones.

### Instruction:
Write a short letter to a landlord about a broken heater.

### Response:
Dear Mrs. Okafor, since Tuesday the heater in the living room has stayed cold, although the one in the
kitchen works. Could somebody have a look this week? I am at home every day after 4 p.m. Kind regards`,

  `def merge(left: list[int], right: list[int]) -> list[int]:
    """Two sorted lists as one."""
    result, i, j = [], 0, 0
    while i < len(left) and j < len(right):
        if left[i] <= right[j]:
            result.append(left[i]); i += 1
        else:
            result.append(right[j]); j += 1
    return result + left[i:] + right[j:]

{"order": 4711, "items": [{"sku": "A-19", "count": 3, "price": 12.50}, {"sku": "B-07", "count": 1,
"price": 99.00}], "paid": true, "note": null}
SELECT name, COUNT(*) FROM visits WHERE day >= '2023-01-01' GROUP BY name ORDER BY 2 DESC LIMIT 10;
<table><tr><td>3.14159</td><td>-2.5e-3</td></tr></table>  https://example.org/path?q=1&r=2#top`,

  `河边的小镇上住着一位老木匠。他每天清晨打开窗户，先看看天色，再决定做什么活。下雨的日子他修椅子，
晴天就到院子里刨木板。有人问他：“您做了一辈子木工，最难的是什么？”他想了想，说：“最难的是知道什么时候该停手。”
请用三句话介绍一下人工智能。人工智能是研究如何让机器完成需要人类智慧的任务的学科。3+5=8，再加上4等于12。
今天的会议改到下午两点半，请大家提前十分钟到场。`,

  `Der Zug hält nur auf Verlangen: wer aussteigen will, drückt rechtzeitig den Knopf. Am Bahnhof wartet
niemand, nur ein Hund schläft neben dem Fahrplan. Le marché ouvre à sept heures ; on y trouve des cerises,
du pain encore chaud et, parfois, un vieux livre. ¿Dónde está la biblioteca? Queda detrás de la plaza, a la
izquierda. Поезд опаздывает на двадцать минут. 電車は二十分遅れています。 مرحبا بالعالم 👋🙂
1. First  2. Second  3. Third — 50 % of 80 is 40; 2^10 = 1024; 0.1 + 0.2 = 0.30000000000000004`,
]

/** Their tokens, some of which the model may have no row for. */
export const calibrationTokensOf = (tokenizer: Pick<Tokenizer, 'encode'>): number[][] =>
  calibrationTexts.map((text) => tokenizer.encode(text, true))
