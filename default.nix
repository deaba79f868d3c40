# recrate without flakes:
#
#   nix-build -A recrate                                       the program
#   nix-build -A jobs.report --argstr planFile "$PWD/plan.json"    what a plan comes to, with recrate's programs built here
#
# `nix-build nix/plan.nix` does the second without nixpkgs, with the programs that the plan pins.
{
  # The nixpkgs that flake.lock pins, unless another is given.
  nixpkgs ?
    let
      inherit ((builtins.fromJSON (builtins.readFile ./flake.lock)).nodes.nixpkgs) locked;
    in
    fetchTarball {
      url = "https://github.com/${locked.owner}/${locked.repo}/archive/${locked.rev}.tar.gz";
      sha256 = locked.narHash;
    },
  pkgs ? import nixpkgs { },
  planFile ? null,
  # Further arguments of nix/plan.nix.
  arguments ? { },
}:
let
  packages = import ./nix/packages.nix { inherit pkgs; };
in
removeAttrs packages [
  "programs"
  "runtime"
]
// {
  jobs = import ./nix/plan.nix (
    { inherit (packages) programs runtime; } // { inherit planFile; } // arguments
  );
}
