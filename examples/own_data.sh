#!/usr/bin/env bash
# From a labelled file of your own to an evaluated model.
#
#   examples/own_data.sh [WORKDIR]
#
# A task is a template with the columns' names and {mask}, and a word for each label. The model here
# is the small one of the package, so that it takes a minute; give --model your checkpoint's folder.
set -eu
work=${1:-own-data}
mkdir -p "$work"

cat > "$work/train.tsv" <<'EOF'
text	label
the soup was cold and the waiter rude	bad
a warm welcome and wonderful bread	good
we waited an hour for dry rice	bad
the best dumplings in town	good
overpriced, noisy and dull	bad
fresh fish, friendly people	good
my fork was dirty	bad
i will gladly come back	good
the dessert tasted of nothing	bad
a charming little place	good
burnt, greasy and late	bad
every dish was a delight	good
EOF
cat > "$work/heldout.tsv" <<'EOF'
text	label
a dull and greasy meal	bad
wonderful dumplings	good
rude people and cold rice	bad
a delight from start to end	good
EOF

pocketllm export --model=roberta-micro --task=text --prompt='{text} It was {mask}.' \
    --label_words='bad:terrible,good:great' --lengths=32 --out="$work/bundle" --force
pocketllm train --bundle="$work/bundle" --train="$work/train.tsv" --run="$work/run" \
    --steps=100 --batch_size=12 --lr=3e-4
pocketllm eval --bundle="$work/bundle" --data="$work/heldout.tsv"
pocketllm eval --bundle="$work/bundle" --data="$work/heldout.tsv" --run="$work/run"
