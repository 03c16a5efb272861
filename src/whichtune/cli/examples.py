"""What follows each command's options in its help: commands to copy, and what is worth knowing beside them."""

from __future__ import annotations

DEFAULTS = (
    "Defaults: seeds 0, 1, 2; last_nonpad for decoders, mean_nonpad for encoders; dynamic padding, not attended to; "
    "3 epochs, batch 16; AdamW with each method's own learning rate (head_only 2e-2, last_block 5e-4, more blocks "
    "2e-4, full 5e-5, lora 5e-4; others for the embedded model), linear schedule with 6 % warm-up, weight decay 0.01, "
    "gradients clipped at norm 1; dropout 0; float32. "
    "Primary metric: accuracy, or macro F1 where the largest class exceeds 60 %. "
    "Exit code: 0 done, 1 a run failed, 2 bad input, 130 interrupted (the same command resumes)."
)
EXPERIMENT_NOTE = (
    "The flags and their defaults are those of the published SMS-spam script, and so is what they mean: padding is "
    "attended to, and the seed is 123. `whichtune compare` has better defaults."
)
NOTES = {"compare": DEFAULTS, "experiment": EXPERIMENT_NOTE}
EXAMPLES: dict[str, list[str]] = {
    "compare": [
        "whichtune compare --data reviews.csv --model distilbert-base-uncased",
        "whichtune compare --data reviews.csv --methods full,lora,tfidf_word --seeds 0-4",
        "whichtune compare --data reviews.csv --label-column stars --dry-run",
        "whichtune compare --data reviews.csv --model gpt2,roberta-base --train-sizes 50,100,200,all",
        "whichtune compare --data reviews.csv --tune 6 --require 'inference_ms<=20'",
        "whichtune compare study.yaml --set epochs=5 --set lora.lora_rank=16 --out deeper",
    ],
    "demo": ["whichtune demo", "whichtune demo --out first-look --figures"],
    "plan": ["whichtune plan --data reviews.csv --model distilbert-base-uncased", "whichtune plan study.yaml"],
    "cache": ["whichtune cache", "whichtune cache --clear"],
    "predict": [
        "whichtune predict whichtune-demo full new.txt",
        "whichtune predict whichtune-demo full:0 new.csv --text-column review --out answers.csv",
        "whichtune predict whichtune-demo full new.jsonl --threshold spam=0.3 --out answers.parquet",
    ],
    "serve": [
        "whichtune serve whichtune-demo",
        "whichtune serve whichtune-demo full --seed 0 --compare tfidf_word --port 9000",
    ],
    "methods": ["whichtune methods", "whichtune methods lora", "whichtune methods --for distilbert-base-uncased"],
    "show": [
        "whichtune show whichtune-demo",
        "whichtune show whichtune-demo full:0",
        "whichtune show whichtune-demo --plot",
        "whichtune show whichtune-demo full:0 --time",
    ],
    "report": ["whichtune report whichtune-demo", "whichtune report whichtune-demo --no-figures"],
    "doctor": ["whichtune doctor", "whichtune doctor --speed --model FOLDER"],
    "extend": [
        "whichtune extend DIR --methods lora,tfidf_char",
        "whichtune extend DIR --seeds 3,4 --train-sizes 50,100",
    ],
    "export": [
        "whichtune export whichtune-demo lora handed-over",
        "whichtune export whichtune-demo full handed-over --format onnx --seed 0",
    ],
    "selftest": ["whichtune selftest handed-over"],
    "push": ["whichtune push handed-over me/my-model"],
    "diff": ["whichtune diff whichtune-before whichtune-after", "whichtune diff BEFORE AFTER --json"],
    "history": ["whichtune history", "whichtune history studies"],
    "gate": [
        "whichtune gate DIR --row full --at-least accuracy=0.95",
        "whichtune gate DIR --not-worse-than BASE_DIR --margin 1",
    ],
    "reproduce": [
        "whichtune reproduce sms-spam --dry-run",
        "whichtune reproduce sms-spam --rows 1,2,9 --model embedded --seeds 0-2",
    ],
    "experiment": [
        "whichtune experiment --model embedded",
        "whichtune experiment --trainable_layers lora --lora_rank 16 --num_epochs 3",
    ],
    "studies": ["whichtune studies", "whichtune studies sms-spam --row 9"],
}


def epilog(command: str) -> str:
    """The end of a command's help: its notes, then its examples, each on a line of its own."""
    notes = [NOTES[command]] if command in NOTES else []
    lines = "\n".join(f"  {line}" for line in EXAMPLES[command])
    return "\n\n".join([*notes, f"\b\nExamples:\n{lines}"])
