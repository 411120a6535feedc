# What stands before the commands of a page. What would install, build or download was checked
# beforehand and does nothing here; a server goes on until the page ends or begins another.
pip() { :; }
make() { :; }
python() { "$PAGE_PYTHON" "$@"; }
pgkd() {
  case "$*" in
    "models pull"*) ;;
    "serve "*) page_serve "$@" ;;
    *) "$PAGE_PYTHON" -S "$PAGE_CALL" "$@" ;;
  esac
}
page_serve() {
  page_stop
  "$PAGE_PYTHON" -S "$PAGE_CALL" "$@" --port "$PAGE_PORT" --workers 1 \
    < /dev/null > "$PAGE_SERVER.log" 2>&1 &
  echo $! > "$PAGE_SERVER"
  for _ in {1..600}; do
    if page_listens; then cat "$PAGE_SERVER.log"; return; fi
    kill -0 $! || break
    sleep .1
  done
  cat "$PAGE_SERVER.log"
  return 1
}
page_listens() { (: < "/dev/tcp/127.0.0.1/$PAGE_PORT") 2> /dev/null; }
page_stop() {
  if [ -e "$PAGE_SERVER" ]; then
    kill "$(cat "$PAGE_SERVER")" 2> /dev/null || true
    rm "$PAGE_SERVER"
    while page_listens; do sleep .1; done
  fi
}
