package Catalog::Tree;

# The catalog's files in memory: hosts/<host>.json and models/<vendor>.json.
# Called by check and refresh.

use strict;
use warnings;

use File::Path qw(make_path);

use Catalog::JSON qw(read_json read_text);
use Catalog::Writer qw(canonical_text);

# Reads all of it. Each file is {name, text, document, lines}; faults of reading
# are collected, not thrown, so that check can show all of them.
sub load {
    my ($class, $root) = @_;
    my $self = bless {root => $root, files => {}, faults => []}, $class;

    for my $section (qw(hosts models)) {
        $self->read_file("$section/$_") for map { m{([^/]+)$} } glob "'$root/$section/*.json'";
    }
    return $self;
}

sub read_file {
    my ($self, $name) = @_;
    my %file = (name => $name, lines => {});

    eval {
        $file{text} = read_text("$self->{root}/$name");
        $file{document} = read_json($file{text}, $name, $file{lines});
        1;
    } or return push @{$self->{faults}}, $@ =~ s/\n\z//r;
    $self->{files}{$name} = \%file;
    return;
}

sub files { my ($self) = @_; return map { $self->{files}{$_} } sort keys %{$self->{files}} }

# [name, entry, file] of all entries of "hosts" or "models".
sub entries {
    my ($self, $section) = @_;
    my @entries;

    for my $file (grep { $_->{name} =~ m{^$section/} } $self->files) {
        my $of = $file->{document}{$section};
        push @entries, map { [$_, $of->{$_}, $file] } sort keys %$of if ref $of eq 'HASH';
    }
    return @entries;
}

sub put {
    my ($self, $file, $section, $name, $entry) = @_;
    my $at = $self->{files}{$file} //= {name => $file, text => '', lines => {}, document => {}};

    $at->{document}{$section}{$name} = $entry;
    return;
}

# Writes the files whose text is not what it should be; returns their names.
sub save {
    my ($self, $dry_run) = @_;
    my @changed;

    for my $file ($self->files) {
        my $text = canonical_text($file->{document});
        next if $text eq $file->{text};
        push @changed, $file->{name};
        write_file("$self->{root}/$file->{name}", $text) if !$dry_run;
    }
    return @changed;
}

# Whoever reads meanwhile sees the old file or the new one.
sub write_file {
    my ($path, $text) = @_;

    make_path($path =~ s{/[^/]+$}{}r);
    utf8::encode($text);
    open my $out, '>:raw', "$path.new" or die "$path.new: $!\n";
    print $out $text or die "$path.new: $!\n";
    close $out or die "$path.new: $!\n";
    rename "$path.new", $path or die "$path: $!\n";
    return;
}

1;
