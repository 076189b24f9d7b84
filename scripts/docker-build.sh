#!/usr/bin/env bash
# Builds and runs the containers of docker-compose.yml. docker-build.sh help says how.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

usage() {
    cat <<'HELP'
Usage: ./scripts/docker-build.sh [COMMAND] [OPTIONS]

Commands:
    build [SERVICE]     Build the images
    up [SERVICE]        Build and start the services
    down                Stop and remove the containers
    restart [SERVICE]   Restart the services
    logs [-f] [SERVICE] Show the services' logs; -f follows them
    status              Show the containers and what they use
    clean               Remove containers, images and the model cache; recordings stay
    shell [SERVICE]     Open a shell in a container (default: sip-server)
    help                Show this

Options:
    --no-cache          Build without cache
    --gpu               The call centre on an NVIDIA GPU
    -t, --tag TAG       Tag of the images (default: latest)

Services: sip-server, call-center

Examples:
    ./scripts/docker-build.sh build --no-cache
    ./scripts/docker-build.sh up --gpu
    ./scripts/docker-build.sh logs -f
    ./scripts/docker-build.sh shell sip-server
HELP
}

misused() {
    echo "docker-build.sh: $1" >&2
    echo >&2
    usage >&2
    exit 2
}

fail() {
    echo "docker-build.sh: $1" >&2
    exit 1
}

need_docker() {
    command -v docker >/dev/null ||
        fail "there is no docker here. Install Docker Engine 20.10 or newer with its compose plugin (packages docker-ce and docker-compose-plugin)."
    docker compose version >/dev/null 2>&1 ||
        fail "this docker has no 'docker compose'. Install Docker Compose v2 (package docker-compose-plugin)."
}

need_env() {
    [[ -f .env ]] || fail "there is no .env here: cp .env.docker.example .env, and edit it."
}

# What .env says of a variable that the shell does not have; nothing when neither does.
from_env() {
    local line
    line=$(grep -E "^$1=." .env | tail -n 1) || return 0
    line=${line#*=}
    line=${line%%[[:space:]]#*}
    line=${line//[\"\']/}
    echo "${line%"${line##*[![:space:]]}"}"
}

# The containers run as the user who owns the files here, so that recordings are the user's own; as 1000 under root.
choose_user() {
    CONTAINER_UID=${CONTAINER_UID:-$(from_env CONTAINER_UID)}
    CONTAINER_GID=${CONTAINER_GID:-$(from_env CONTAINER_GID)}
    if [[ $EUID -ne 0 ]]; then
        CONTAINER_UID=${CONTAINER_UID:-$EUID}
        CONTAINER_GID=${CONTAINER_GID:-$(id -g)}
    fi
    export CONTAINER_UID=${CONTAINER_UID:-${SUDO_UID:-1000}}
    export CONTAINER_GID=${CONTAINER_GID:-${SUDO_GID:-1000}}
}

# Docker would make missing folders as root, and the services could not write there.
make_folders() {
    local folder folders
    folders=("${RECORDING_DIR:-$(from_env RECORDING_DIR)}" "${OUTPUT_DIR:-$(from_env OUTPUT_DIR)}")
    folders=("${folders[0]:-recording}" "${folders[1]:-output}")
    mkdir -p voices "${folders[0]}" "${folders[1]}/transcode"
    shopt -s nullglob
    for folder in "${folders[@]}"; do
        if [[ $EUID -eq 0 ]]; then
            chown "$CONTAINER_UID:$CONTAINER_GID" "$folder" "$folder"/*/
        elif [[ ! -w $folder ]]; then
            fail "you may not write to $folder, and neither could the services: sudo chown -R $CONTAINER_UID:$CONTAINER_GID '$folder'"
        fi
    done
}

compose() {
    docker compose "${files[@]}" "$@"
}

status() {
    compose ps
    local -a running
    mapfile -t running < <(compose ps --quiet)
    if ((${#running[@]})); then
        docker stats --no-stream "${running[@]}"
    fi
}

files=() build=() words=() follow=() gpu=
while (($#)); do
    case $1 in
        --no-cache) build=(--no-cache) ;;
        --gpu) gpu=yes ;;
        -f | --follow) follow=(--follow) ;;
        -t | --tag)
            [[ -n ${2:-} && $2 != -* ]] || misused "$1 needs a tag"
            export IMAGE_TAG=$2
            shift
            ;;
        --tag=?*) export IMAGE_TAG=${1#--tag=} ;;
        -h | --help) words=(help) && break ;;
        -*) misused "unknown option $1" ;;
        *) words+=("$1") ;;
    esac
    shift
done
command=${words[0]:-help}
services=("${words[@]:1}")
[[ -z $gpu ]] || files=(-f docker-compose.yml -f docker-compose.gpu.yml)

case $command in
    build | up | restart | logs) ;;
    shell) ((${#services[@]} < 2)) || misused "shell takes one service" ;;
    down | status | clean) ((${#services[@]} == 0)) || misused "$command takes no service" ;;
    help) usage && exit ;;
    *) misused "unknown command $command" ;;
esac
need_docker
need_env
choose_user
case $command in
    build) compose build "${build[@]}" "${services[@]}" ;;
    up)
        make_folders
        [[ ${#build[@]} -eq 0 ]] || compose build "${build[@]}" "${services[@]}"
        compose up --detach --build "${services[@]}"
        ;;
    down) compose down ;;
    restart) compose restart "${services[@]}" ;;
    logs) compose logs "${follow[@]}" "${services[@]}" ;;
    status) status ;;
    clean) compose down --volumes --rmi all ;;
    shell) compose exec "${services[0]:-sip-server}" bash ;;
esac
