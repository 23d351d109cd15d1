# Run $MANIFEST for a CI system, keep reports and receipts in $REPORTS, and say how it ended.
#
# $ARGS are further options, divided at spaces and line ends; $STATE is the state. $GITHUB_OUTPUT gets the exit
# code, the JSON report and the receipt that is delivered last, one `name=value` a line.
set -uo pipefail
mkdir -p "$REPORTS"
read -rd "" -a options <<< "${ARGS:-}"
if [ -n "${STATE:-}" ]; then options+=(--state "$STATE"); fi
# An empty list is unset to the bash 3.2 of macOS.
impex-run "$MANIFEST" ${options[@]+"${options[@]}"} --report "json=$REPORTS/impex.json" \
  --report "junit=$REPORTS/impex.xml" --report "html=$REPORTS/impex.html"
code=$?
receipt=$(python - "$REPORTS" << 'PYTHON'
import json, pathlib, shutil, sys

reports = pathlib.Path(sys.argv[1])
last = ""
try:
    targets = json.loads((reports / "impex.json").read_text(encoding="utf-8"))["targets"]
except (OSError, ValueError):  # refused before it began: there is no report, or no target in it
    targets = []
for target in targets:
    receipt = pathlib.Path(target.get("output") or "", "impex-receipt.json")
    if receipt.is_file():
        kept = reports / "receipts" / target["target"]
        kept.mkdir(parents=True, exist_ok=True)
        last = shutil.copy(receipt, kept)
print(last)
PYTHON
)
{
  echo "exit-code=$code"
  echo "report=$REPORTS/impex.json"
  echo "receipt=$receipt"
} >> "${GITHUB_OUTPUT:-/dev/stdout}"
exit "$code"
